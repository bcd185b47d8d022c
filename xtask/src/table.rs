//! Markdown tables that people and checks both read: the rows after a line `<!-- table: NAME -->`.

/// One row: its line in the file, counted from 1, and its cells without back-quotes.
pub struct Row {
    pub line: usize,
    pub cells: Vec<String>,
}

impl Row {
    /// The words of one cell; a dash means none.
    pub fn words(&self, column: usize) -> Vec<&str> {
        let cell = self.cells.get(column).map_or("", String::as_str);
        cell.split([' ', ',']).filter(|word| !word.is_empty() && *word != "–").collect()
    }

    /// The phrases of one cell, which commas part.
    pub fn phrases(&self, column: usize) -> Vec<&str> {
        let cell = self.cells.get(column).map_or("", String::as_str);
        cell.split(',')
            .map(str::trim)
            .filter(|phrase| !phrase.is_empty() && *phrase != "–")
            .collect()
    }
}

/// The rows of the table called `name`, without its heading; `None` when there is no such table.
pub fn rows(text: &str, name: &str) -> Option<Vec<Row>> {
    let marker = format!("<!-- table: {name} -->");
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| line.trim() != marker);
    lines.next()?;
    let rows = lines
        .skip_while(|(_, line)| line.trim().is_empty())
        .take_while(|(_, line)| line.starts_with('|'))
        .skip(2)
        .map(|(index, line)| Row { line: index + 1, cells: cells(line) })
        .collect();
    Some(rows)
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_matches('|');
    inner.split('|').map(|cell| cell.trim().replace('`', "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_name() {
        let text = "words\n<!-- table: floors -->\n\n| a | b |\n|---|---|\n| `one` | x, y |\n| two | – |\n\nmore";
        let rows = rows(text, "floors").unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].line, rows[0].cells[0].as_str()), (6, "one"));
        assert_eq!(rows[0].words(1), ["x", "y"]);
        assert!(rows[1].words(1).is_empty());
        assert!(super::rows(text, "other").is_none());
    }
}
