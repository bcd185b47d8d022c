//! `carillon ready`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{FAILED, WRONG};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// How long one question may take.
const ASK_MAX: Duration = Duration::from_secs(2);

/// Asks `/readyz` until it says yes or `wait` is over.
pub fn main(url: &str, wait: Duration) -> ExitCode {
    let Ok(url) = reqwest::Url::parse(&format!("{}/readyz", url.trim_end_matches('/'))) else {
        eprintln!("`{url}` is no address (--url)");
        return ExitCode::from(WRONG);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let client = reqwest::Client::builder().no_proxy().timeout(ASK_MAX).build();
    let (Ok(runtime), Ok(client)) = (runtime, client) else {
        eprintln!("cannot set up a client");
        return ExitCode::from(FAILED);
    };
    runtime.block_on(ask(&client, &url, wait))
}

async fn ask(client: &reqwest::Client, url: &reqwest::Url, wait: Duration) -> ExitCode {
    let until = Instant::now() + wait;
    let mut last;
    loop {
        match client.get(url.clone()).send().await {
            Ok(answer) if answer.status().is_success() => return ExitCode::SUCCESS,
            Ok(answer) => last = answer.text().await.unwrap_or_default(),
            Err(why) => last = why.to_string(),
        }
        if Instant::now() >= until {
            eprintln!("not ready after {} s: {}", wait.as_secs(), last.trim());
            return ExitCode::from(FAILED);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
