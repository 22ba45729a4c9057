//! Templates of tests, each with what it means in plain words.

use super::stages::Row;

type Meaning = fn(&Row) -> Result<String, String>;

fn get(row: &Row, name: &str) -> String {
    row.get(name).unwrap_or_default().to_owned()
}

/// What the templates of random queries do.
const TEMPLATES: &[(&str, Meaning)] =
    &[
        ("same", |_| Ok("same".to_owned())),
        ("{{.level}}-{{.n}}", |row| Ok(format!("{}-{}", get(row, "level"), get(row, "n")))),
        ("{{ upper .app }} {{ __line__ }}", |row| {
            Ok(format!("{} {}", get(row, "app").to_uppercase(), row.line))
        }),
        ("n={{ add .n 1 }} level={{.level_extracted}}", |row| {
            let n: i64 = get(row, "n").parse().unwrap_or(0);
            Ok(format!("n={} level={}", n + 1, get(row, "level_extracted")))
        }),
        ("{{ if .trace }}t {{.trace}}{{ else }}no{{ end }}", |row| {
            let trace = get(row, "trace");
            Ok(if trace.is_empty() { "no".to_owned() } else { format!("t {trace}") })
        }),
        ("{{ len . }}", |row| Ok(row.all().len().to_string())),
        ("{{ range $k, $v := . }}{{ $k }}:{{ $v | trunc 3 }};{{ end }}", |row| {
            let cut = |text: &str| text.chars().take(3).collect::<String>();
            Ok(row.all().iter().map(|(name, value)| format!("{name}:{};", cut(value))).collect())
        }),
        ("{{ .__error__ }}|{{ __timestamp__ | date \"15:04\" }}", |row| {
            Ok(format!("{}|00:00", row.error))
        }),
        ("{{ div 4 .n }}", |row| match get(row, "n").parse().unwrap_or(0) {
            0 => Err("at <div 4 .n>: error calling div: runtime error: integer divide by zero"
                .to_owned()),
            n => Ok((4 / n).to_string()),
        }),
    ];

/// All of them.
pub(in crate::engine::tests) fn texts() -> Vec<&'static str> {
    TEMPLATES.iter().map(|template| template.0).collect()
}

pub(super) fn run(name: &str, text: &str, row: &Row) -> Result<String, String> {
    let (_, meaning) = TEMPLATES.iter().find(|known| known.0 == text).expect("a known template");
    let place = |why: String| format!("template: {name}:1:3: executing \"{name}\" {why}");
    meaning(row).map_err(place)
}
