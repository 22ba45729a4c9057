//! Label sets.

use base::Labels;

use crate::columns::{check_ends, column, utf8, values};
use crate::error::WireError;
use crate::v1;

const MESSAGE: &str = "LabelSets";
/// Most label sets of a message: a small set takes twenty times its bytes in memory.
const MAX_SETS: usize = 1 << 22;

/// Label sets as columns.
pub fn label_sets(sets: &[Labels]) -> v1::LabelSets {
    let labels: usize = sets.iter().map(Labels::len).sum();
    let mut text = Vec::with_capacity(sets.iter().map(Labels::text_bytes).sum());
    let mut ends: Vec<u32> = Vec::with_capacity(labels * 2);
    for (name, value) in sets.iter().flat_map(Labels::iter) {
        for piece in [name, value] {
            text.extend_from_slice(piece.as_bytes());
            ends.push(u32::try_from(text.len()).expect("label sets have less than 4 GiB"));
        }
    }
    v1::LabelSets {
        counts: column(sets.iter().map(|labels| labels.len() as u32)),
        ends: column(ends.into_iter()),
        text: text.into(),
    }
}

/// Reads what [`label_sets`] wrote; absent = none.
pub fn read_label_sets(sets: Option<&v1::LabelSets>) -> Result<Vec<Labels>, WireError> {
    let Some(sets) = sets else { return Ok(Vec::new()) };
    let counts: Vec<u32> = values(MESSAGE, "counts", &sets.counts)?;
    ensure!(counts.len() <= MAX_SETS, MESSAGE, "{} sets are too many", counts.len());
    let ends: Vec<u32> = values(MESSAGE, "ends", &sets.ends)?;
    let labels: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let pieces = ends.len() as u64;
    ensure!(labels * 2 == pieces, MESSAGE, "{pieces} texts for {labels} labels");
    check_ends(MESSAGE, "ends", &ends, sets.text.len())?;
    let text = utf8(MESSAGE, "text", &sets.text)?;
    ensure!(
        ends.iter().all(|&end| text.is_char_boundary(end as usize)),
        MESSAGE,
        "a text is cut inside a character"
    );
    let mut out = Vec::with_capacity(counts.len());
    let mut rest = &ends[..];
    let mut from = 0;
    for count in counts {
        let (mine, others) = rest.split_at(count as usize * 2);
        rest = others;
        out.push(read_set(text, from, mine)?);
        from = mine.last().map_or(from, |&end| end as usize);
    }
    Ok(out)
}

/// The set whose texts end at `ends` and begin at `from`.
fn read_set(text: &str, from: usize, ends: &[u32]) -> Result<Labels, WireError> {
    let pair = |index: usize| {
        let from = if index == 0 { from } else { ends[index * 2 - 1] as usize };
        let (middle, to) = (ends[index * 2] as usize, ends[index * 2 + 1] as usize);
        (&text[from..middle], &text[middle..to])
    };
    let count = ends.len() / 2;
    let sorted = (1..count).all(|index| pair(index - 1).0 < pair(index).0);
    ensure!(sorted, MESSAGE, "names are not sorted");
    Ok(Labels::from_sorted((0..count).map(pair)))
}
