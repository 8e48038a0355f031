use super::auth::{Credentials, bearer};
use super::mime::{self, Mime, read_accept_mimes, read_message_mime};
use super::routing::{Tags, write_tags};
use super::{Composite, CompositeBuilder, Entry, Malformed};

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_plain_client_example_is_written_and_read() {
    let expected = hex("fe000016 15 746f776c696e652e51756575652e7075626c697368 fa00000185");
    let tags = write_tags(["towline.Queue.publish"]).unwrap();
    let written = CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime::JSON).finish();
    assert_eq!(written, expected);
    let entries: Vec<_> = Composite::new(&written).map(Result::unwrap).collect();
    assert_eq!(Tags::new(entries[0].content).collect::<Vec<_>>(), ["towline.Queue.publish"]);
    assert_eq!(entries[1], Entry { mime: mime::MESSAGE_MIME, content: &[0x85] });
}

#[test]
fn msgpack_travels_by_name() {
    let written = CompositeBuilder::new().message_mime(Mime::named("application/x-msgpack")).finish();
    assert_eq!(written, [hex("fa000016 14"), b"application/x-msgpack".to_vec()].concat());
    assert_eq!(read_message_mime(&written[4..]), Some(Mime::Name(b"application/x-msgpack")));
}

#[test]
fn both_length_forms_of_a_mime_are_read() {
    assert_eq!(read_message_mime(&[0x85]), Some(mime::JSON));
    assert_eq!(read_message_mime(b"\x0fapplication/json"), Some(mime::JSON));
    assert_eq!(read_message_mime(b"\x10application/json"), Some(mime::JSON));
    assert_eq!(read_message_mime(b"\x11application/json"), None);
    assert_eq!(read_message_mime(b""), None);
    assert_eq!(read_accept_mimes(&hex("a6a785898081a186")).len(), 8);
    assert_eq!(read_accept_mimes(b"\x85\x10application/json\x80"), [mime::JSON, mime::JSON, mime::AVRO]);
    assert_eq!(read_accept_mimes(b"\x0fapplication/json\x80"), [mime::JSON, mime::AVRO]);
    assert_eq!(read_accept_mimes(b"\x30short"), []);
}

#[test]
fn names_and_ids_are_one_type() {
    let entry = [&[38u8][..], b"message/x.rsocket.composite-metadata.v0", &[0, 0, 0]].concat();
    assert_eq!(Composite::new(&entry).next(), Some(Ok(Entry { mime: mime::COMPOSITE, content: &[] })));
    assert_eq!(mime::APPLICATION.name(), Some("message/x.rsocket.application+json"));
}

#[test]
fn a_malformed_tail_hides_nothing_before_it() {
    let good = CompositeBuilder::new().entry(mime::ROUTING, b"\x03a.b").finish();
    for cut in 1..good.len() {
        let bytes = [&good[..], &good[..cut]].concat();
        let walk: Vec<_> = Composite::new(&bytes).collect();
        assert_eq!(walk.len(), 2, "cut at {cut}");
        assert_eq!(walk[1], Err(Malformed { at: good.len() }));
        assert_eq!(Composite::new(&bytes).find(mime::ROUTING), Some(&b"\x03a.b"[..]));
    }
}

#[test]
fn tags_end_at_the_first_bad_one() {
    assert_eq!(Tags::new(b"\x01a\x00\x02bc").collect::<Vec<_>>(), ["a", "", "bc"]);
    assert_eq!(Tags::new(b"\x01a\x05b").collect::<Vec<_>>(), ["a"]);
    assert_eq!(Tags::new(b"\x01\xff\x01b").count(), 0);
    assert_eq!(write_tags(["x".repeat(256).as_str()]).unwrap_err().len(), 256);
}

#[test]
fn credentials_are_read_and_never_printed() {
    assert_eq!(Credentials::read(&bearer("t0k")), Some(Credentials::Bearer("t0k")));
    assert_eq!(Credentials::read(b"\x05bearert0k"), Some(Credentials::Bearer("t0k")));
    assert_eq!(Credentials::read(b"\x80\x00\x02mepw"), Some(Credentials::Simple { user: "me", password: "pw" }));
    assert_eq!(Credentials::read(b"\x80\x00\x09me"), None);
    assert_eq!(Credentials::read(b""), None);
    assert!(!format!("{:?}", Credentials::read(&bearer("t0k"))).contains("t0k"));
}
