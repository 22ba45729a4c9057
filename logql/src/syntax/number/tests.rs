use super::*;

#[test]
fn floats_are_read_as_go_reads_them() {
    for (text, value) in [
        ("1", 1.0),
        ("-.5e1", -5.0),
        ("1.", 1.0),
        ("017", 17.0),
        ("1_000", 1000.0),
        ("1_2.5_0e1_0", 125_000_000_000.0),
        ("0x_1_0p0", 16.0),
        ("+Inf", f64::INFINITY),
        ("-infinity", f64::NEG_INFINITY),
        ("0x1p3", 8.0),
        ("0x.8P+1", 1.0),
        ("0x1.fffffffffffff8p0", 2.0),
        ("0x1.fffffffffffff7p0", 1.999_999_999_999_999_8),
        ("0x1p-1074", 5e-324),
        ("0x1.8p-1075", 5e-324),
        ("0x1p-1076", 0.0),
        ("0x1p1023", 8.988_465_674_311_58e307),
        ("0xffffffffffffffffffffp0", 1_208_925_819_614_629_174_706_175.0),
    ] {
        assert_eq!(parse_float(text), Ok(value), "{text}");
    }
    assert!(parse_float("NaN").unwrap().is_nan());
    for (text, why) in [
        ("0x10", "invalid syntax"),
        ("1__000", "invalid syntax"),
        ("1_000_", "invalid syntax"),
        ("_1", "invalid syntax"),
        ("1_.5", "invalid syntax"),
        ("0x_1", "invalid syntax"),
        ("", "invalid syntax"),
        ("1e", "invalid syntax"),
        ("0b1", "invalid syntax"),
        ("1e999", "value out of range"),
        ("0x1p1024", "value out of range"),
    ] {
        assert_eq!(
            parse_float(text),
            Err(format!("strconv.ParseFloat: parsing \"{text}\": {why}"))
        );
    }
}

#[test]
fn floats_are_printed_as_go_prints_them() {
    for (value, plain, shortest) in [
        (1.0, "1", "1"),
        (-0.5, "-0.5", "-0.5"),
        (1e21, "1000000000000000000000", "1e+21"),
        (123_456_789.125, "123456789.125", "123456789.125"),
        (1.5e-7, "0.00000015", "1.5e-07"),
        (0.0001, "0.0001", "0.0001"),
        (f64::INFINITY, "+Inf", "+Inf"),
        (f64::NAN, "NaN", "NaN"),
    ] {
        let mut out = String::new();
        push_float(&mut out, value);
        assert_eq!((out.as_str(), general(value).as_str()), (plain, shortest));
    }
}

#[test]
fn byte_sizes_are_read_and_printed() {
    for (text, bytes) in [
        ("5", 5),
        ("5B", 5),
        ("1.5 KB", 1_500),
        ("2Kb", 2_000),
        ("1KiB", 1_024),
        ("2,048", 2_048),
        ("1.5B", 1),
        ("1G", 1_000_000_000),
    ] {
        assert_eq!(parse_bytes(text), Some(bytes), "{text}");
    }
    for text in ["", "B", "5X", "1e3B", "20EB"] {
        assert_eq!(parse_bytes(text), None, "{text}");
    }
    for (bytes, text) in [
        (0, "0B"),
        (9, "9B"),
        (10, "10B"),
        (3_000, "3.0kB"),
        (1_550, "1.6kB"),
        (15_000_000, "15MB"),
        (1_000_000_000, "1.0GB"),
        (u64::MAX, "18EB"),
    ] {
        assert_eq!(format_bytes(bytes), text);
    }
}
