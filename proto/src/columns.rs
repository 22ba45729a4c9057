//! Columns: integers of fixed width, little-endian, one after the other; and texts with their ends.

use base::StoreId;
use base::rows::Strings;
use bytes::Bytes;
use ulid::Ulid;

use crate::error::WireError;
use crate::v1;

/// An integer of fixed width.
pub trait Fixed: Copy {
    /// Its bytes.
    type Bytes: AsRef<[u8]> + for<'a> TryFrom<&'a [u8]>;
    /// Little-endian.
    fn to_le(self) -> Self::Bytes;
    /// The opposite.
    fn from_le(bytes: Self::Bytes) -> Self;
}

macro_rules! fixed {
    ($($integer:ty),*) => {$(
        impl Fixed for $integer {
            type Bytes = [u8; size_of::<$integer>()];
            #[inline]
            fn to_le(self) -> Self::Bytes {
                self.to_le_bytes()
            }
            #[inline]
            fn from_le(bytes: Self::Bytes) -> Self {
                <$integer>::from_le_bytes(bytes)
            }
        }
    )*};
}

fixed!(u8, u16, u32, u64, u128, i64, f64);

/// A column of `values`.
pub fn column<T: Fixed>(values: impl ExactSizeIterator<Item = T>) -> Bytes {
    let mut out = Vec::new();
    append(&mut out, values);
    out.into()
}

/// Appends a column of `values` to `out`.
pub fn append<T: Fixed>(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = T>) {
    let at = out.len();
    out.resize(at + values.len() * size_of::<T>(), 0);
    for (to, value) in out[at..].chunks_exact_mut(size_of::<T>()).zip(values) {
        to.copy_from_slice(value.to_le().as_ref());
    }
}

/// Reads a column. `name` is that of the field.
pub fn values<T: Fixed>(
    message: &'static str,
    name: &str,
    bytes: &[u8],
) -> Result<Vec<T>, WireError> {
    ensure!(
        bytes.len().is_multiple_of(size_of::<T>()),
        message,
        "{name} has {} bytes, which is no multiple of {}",
        bytes.len(),
        size_of::<T>()
    );
    Ok(chunks(bytes).collect())
}

/// Reads a column that must have `count` values.
pub fn exactly<T: Fixed>(
    message: &'static str,
    name: &str,
    bytes: &[u8],
    count: usize,
) -> Result<Vec<T>, WireError> {
    ensure!(
        Some(bytes.len()) == count.checked_mul(size_of::<T>()),
        message,
        "{name} has {} bytes instead of {count} times {}",
        bytes.len(),
        size_of::<T>()
    );
    Ok(chunks(bytes).collect())
}

/// The integers in `bytes`; what is left at the end is ignored.
pub fn chunks<T: Fixed>(bytes: &[u8]) -> impl ExactSizeIterator<Item = T> + '_ {
    bytes.chunks_exact(size_of::<T>()).map(|chunk| match T::Bytes::try_from(chunk) {
        Ok(chunk) => T::from_le(chunk),
        Err(_) => unreachable!("chunks have the size of the integer"),
    })
}

/// Checks that ends never go back and that the last one is `length`.
pub fn check_ends(
    message: &'static str,
    name: &str,
    ends: &[u32],
    length: usize,
) -> Result<(), WireError> {
    let ascends = ends.windows(2).all(|pair| pair[0] <= pair[1]);
    ensure!(ascends, message, "{name} go back");
    let last = ends.last().map_or(0, |&end| end as usize);
    ensure!(last == length, message, "{name} end at {last} of {length}");
    Ok(())
}

/// Texts as a message.
pub fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> v1::Texts {
    let mut strings = Strings::default();
    for text in texts {
        strings.push(text.as_bytes());
    }
    v1::Texts { ends: column(strings.ends.iter().copied()), text: strings.bytes.into() }
}

/// Texts of a message, checked; borrowed from it.
pub struct TextList<'a> {
    ends: Vec<u32>,
    text: &'a str,
}

impl<'a> TextList<'a> {
    /// Reads `texts`; an absent list is an empty one. `message` and `name` say whose it is.
    pub fn new(
        message: &'static str,
        name: &str,
        texts: Option<&'a v1::Texts>,
    ) -> Result<TextList<'a>, WireError> {
        let Some(texts) = texts else {
            return Ok(TextList { ends: Vec::new(), text: "" });
        };
        let ends: Vec<u32> = values(message, name, &texts.ends)?;
        check_ends(message, name, &ends, texts.text.len())?;
        let text = utf8(message, name, &texts.text)?;
        let whole = ends.iter().all(|&end| text.is_char_boundary(end as usize));
        ensure!(whole, message, "{name} cut a character");
        Ok(TextList { ends, text })
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The texts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a str> + '_ {
        let text = self.text;
        let mut from = 0;
        self.ends.iter().map(move |&end| {
            let piece = &text[from..end as usize];
            from = end as usize;
            piece
        })
    }
}

/// The text in `bytes`.
pub fn utf8<'a>(message: &'static str, name: &str, bytes: &'a [u8]) -> Result<&'a str, WireError> {
    std::str::from_utf8(bytes)
        .map_err(|error| WireError::new(message, format_args!("{name} is no UTF-8: {error}")))
}

/// One id of 16 bytes.
pub fn ulid(message: &'static str, name: &str, bytes: &[u8]) -> Result<Ulid, WireError> {
    let mut ids = exactly::<u128>(message, name, bytes, 1)?;
    Ok(Ulid(ids.swap_remove(0)))
}

/// The bytes of one id.
pub fn ulid_bytes(id: Ulid) -> Bytes {
    column([id.0].into_iter())
}

/// Stores, 16 bytes each.
pub fn stores(stores: &[StoreId]) -> Bytes {
    column(stores.iter().map(|store| store.0.0))
}

/// Reads what [`stores`] wrote.
pub fn read_stores(
    message: &'static str,
    name: &str,
    bytes: &[u8],
) -> Result<Vec<StoreId>, WireError> {
    let ids: Vec<u128> = values(message, name, bytes)?;
    Ok(ids.into_iter().map(|id| StoreId(Ulid(id))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_texts_read_back() {
        let bytes = column([1_i64, -1, i64::MIN].into_iter());
        assert_eq!(&bytes[..9], [1, 0, 0, 0, 0, 0, 0, 0, 0xff]);
        assert_eq!(values::<i64>("M", "ts", &bytes).unwrap(), [1, -1, i64::MIN]);
        let message = texts(["é", "", "b"]);
        let list = TextList::new("M", "names", Some(&message)).unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), ["é", "", "b"]);
    }

    #[test]
    fn columns_that_do_not_fit_are_errors_that_say_how() {
        let error = values::<u32>("M", "ends", &[0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "bad M message: ends has 5 bytes, which is no multiple of 4");
        let error = exactly::<u32>("M", "ends", &[0; 8], usize::MAX).unwrap_err();
        assert!(error.to_string().contains("instead of"), "{error}");
        for (ends, text, reason) in [
            (&[2, 1][..], &b"ab"[..], "names go back"),
            (&[1], b"ab", "names end at 1 of 2"),
            (&[1, 2], "é".as_bytes(), "names cut a character"),
            (&[1], &[0xff], "names is no UTF-8"),
        ] {
            let message = v1::Texts {
                ends: column(ends.iter().copied().map(|end: u32| end)),
                text: Bytes::copy_from_slice(text),
            };
            let Err(error) = TextList::new("M", "names", Some(&message)) else {
                panic!("{reason} is not found")
            };
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
