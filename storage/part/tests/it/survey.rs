//! Parts taken apart, whole and damaged.

use part::{Survey, What};

fn golden() -> Vec<(String, Vec<u8>)> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn a_whole_part_is_sound_and_its_pieces_cover_it() {
    for (name, part) in golden() {
        let survey = Survey::of(&part).unwrap();
        assert!(survey.is_sound() && survey.summary && survey.streams, "{name}: {survey:?}");
        let mut at = 0;
        for piece in &survey.pieces {
            assert_eq!(piece.offset, at, "{name}: {piece:?}");
            at += piece.stored_bytes;
        }
        assert_eq!(at + part::TRAILER_BYTES as u64, part.len() as u64, "{name}");
        assert_eq!(Survey::part_ending_at(&part, part.len()), Some(part.len()));
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed_and_the_rest_is_shown() {
    for (name, part) in golden() {
        let sound = Survey::of(&part).unwrap();
        for at in 0..part.len() {
            let mut bad = part.clone();
            bad[at] ^= 1 << (at % 8);
            let Ok(survey) = Survey::of(&bad) else {
                assert!(at >= part.len() - part::TRAILER_BYTES, "{name}: byte {at}");
                continue;
            };
            assert!(!survey.is_sound(), "{name}: byte {at}");
            let hit = sound.pieces.iter().find(|piece| {
                (piece.offset..piece.offset + piece.stored_bytes).contains(&(at as u64))
            });
            // Who changes the size of a section hides the ones behind it.
            let in_size = hit.is_some_and(|piece| (4..8).contains(&(at as u64 - piece.offset)));
            match hit.map(|piece| &piece.what) {
                // The trailer, whose first bytes say where the sections begin.
                None if at < part.len() - part::TRAILER_BYTES + 4 => {}
                None => assert!(survey.summary && survey.streams, "{name}: byte {at}"),
                Some(What::Section("streams")) => {
                    assert!(survey.summary && !survey.streams, "{name}: byte {at}");
                    if !in_size {
                        let streams = sound.footer.streams().len();
                        assert_eq!(survey.footer.groups(), sound.footer.groups());
                        assert_eq!(survey.footer.streams().len(), streams);
                    }
                }
                Some(What::Section(_)) => {}
                // One frame is damaged: it is named, and no other is.
                Some(what) => {
                    let named: Vec<&What> = survey
                        .pieces
                        .iter()
                        .filter(|piece| piece.problem.is_some())
                        .map(|piece| &piece.what)
                        .collect();
                    assert_eq!(named, [what], "{name}: byte {at}");
                }
            }
        }
    }
}
