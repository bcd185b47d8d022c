//! The library over loopback: its addresses are for everybody, its list is not.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ::media::ClipId;
use switchboard::{ClipFact, SoundFault};

use super::*;

/// Keeps what begins like a WAV.
#[derive(Default)]
pub struct Shelf(Mutex<BTreeMap<String, Vec<u8>>>);

impl Sounds for Shelf {
    fn add(&self, bytes: Vec<u8>, even: bool, done: Uploaded) {
        if !bytes.starts_with(b"RIFF") {
            return done(Err(SoundFault::Unsupported));
        }
        let hash = format!("{:064x}", bytes.len() + usize::from(even));
        let address = format!("/media/{hash}.wav");
        let (id, length) = (ClipId(1), Duration::from_millis(1_500));
        let octets = bytes.len() as u64;
        self.0.lock().unwrap().insert(hash, bytes);
        done(Ok(ClipFact { id, length, address, octets }));
    }

    fn forget(&self, hash: &str) -> bool {
        self.0.lock().unwrap().remove(hash).is_some()
    }

    fn list(&self, after: &str, max: usize) -> Vec<Kept> {
        let kept = self.0.lock().unwrap();
        let behind = kept.iter().filter(|(hash, _)| hash.as_str() > after).take(max);
        let item = |(hash, bytes): (&String, &Vec<u8>)| Kept {
            hash: hash.clone(),
            address: format!("/media/{hash}.wav"),
            octets: bytes.len() as u64,
            seconds: None,
        };
        behind.map(item).collect()
    }

    fn read(&self, hash: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(hash).cloned()
    }
}

#[test]
fn clips_are_kept_listed_fetched_and_deleted() {
    run(|| async {
        let house = house(echo);
        let put = |body: Vec<u8>| house.ask(Method::POST, "/v1/media").body(body).send();
        let made = put(b"RIFF and more".to_vec()).await.unwrap();
        assert_eq!(made.status(), 201);
        let place = made.headers()["location"].to_str().unwrap().to_owned();
        let made: Value = made.json().await.unwrap();
        assert_eq!(made["address"], place.as_str());
        assert_eq!(made["url"], format!("http://edge.test{place}"));
        assert_eq!(made["seconds"], 1.5);
        assert_eq!(house.items("/v1/media").await.len(), 1);
        let after = format!("/v1/media?after={}", made["hash"].as_str().unwrap());
        assert!(house.items(&after).await.is_empty());
        // Without a token, in whole and in part.
        let url = format!("{}{place}", house.base);
        let fetched = house.client.get(&url).send().await.unwrap();
        assert_eq!(fetched.headers()["content-type"], "audio/wav");
        assert_eq!(fetched.bytes().await.unwrap(), "RIFF and more");
        let part = house.client.get(&url).header("range", "bytes=-4").send().await.unwrap();
        assert_eq!((part.status().as_u16(), part.text().await.unwrap()), (206, "more".to_owned()));
        let head = house.client.head(&url).send().await.unwrap();
        assert_eq!(head.headers()["content-length"], "13");
        // Apps add the form that they want to what they were told.
        for form in [".wav", ".mp3"] {
            let added = house.client.get(format!("{url}{form}")).send().await.unwrap();
            assert_eq!(added.headers()["content-type"], "audio/wav");
        }
        for path in
            [place.replace(".wav", ".ogg"), place.replace(".wav", ""), place.replace("00", "0g")]
        {
            problem(house.get(&path).await, 404, "web.not_found").await;
        }
        let delete = format!("/v1/media/{}", made["hash"].as_str().unwrap());
        assert_eq!(house.ask(Method::DELETE, &delete).send().await.unwrap().status(), 204);
        problem(house.ask(Method::DELETE, &delete).send().await.unwrap(), 404, "sound.missing")
            .await;
        problem(house.get(&place).await, 404, "web.not_found").await;
    });
}

#[test]
fn the_library_is_the_administrators() {
    run(|| async {
        let house = house(echo);
        let url = format!("{}/v1/media", house.base);
        for request in [
            house.client.get(&url),
            house.client.post(&url).body("RIFF"),
            house.client.delete(format!("{url}/ab")),
        ] {
            problem(request.send().await.unwrap(), 401, "web.unauthorized").await;
        }
        let refused = house.ask(Method::POST, "/v1/media").body("<html>").send().await.unwrap();
        problem(refused, 415, "sound.unsupported").await;
        problem(
            house.ask(Method::PUT, "/v1/media").send().await.unwrap(),
            405,
            "web.method_not_allowed",
        )
        .await;
    });
}
