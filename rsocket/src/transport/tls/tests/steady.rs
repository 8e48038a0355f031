//! What works.

use super::*;
use crate::transport::tests::pump;
use crate::transport::writable;
use rustls::{ClientConfig, ClientConnection};

#[tokio::test]
async fn tcp_carries_both_ways_more_than_its_buffers() {
    let (a, b) = tcp_pair().await;
    let (client, server) = pair_over(a, b).await;
    pump(client, server).await;
    let (a, b) = tcp_pair().await;
    let (client, server) = pair_over(a, b).await;
    pump(server, client).await;
}

#[tokio::test]
async fn memory_carries_both_ways_more_than_its_capacity() {
    let (client, server) = pair().await;
    pump(client, server).await;
    let (client, server) = pair().await;
    pump(server, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_run_at_once() {
    const TOTAL: usize = 2 << 20;
    async fn write(transport: Arc<TlsTransport>) {
        let mut batch = Batch::default();
        (0..TOTAL / 1024).for_each(|at| batch.push(BytesMut::from(&vec![at as u8; 1024][..])));
        write_all(&*transport, &mut batch).await.unwrap();
    }
    async fn read(transport: Arc<TlsTransport>) {
        let mut all = BytesMut::new();
        while all.len() < TOTAL {
            all.extend_from_slice(&receive(&*transport).await.unwrap());
        }
        assert!(all.chunks(1024).enumerate().all(|(at, chunk)| chunk.iter().all(|byte| *byte == at as u8)));
    }
    let (a, b) = tcp_pair().await;
    let (client, server) = pair_over(a, b).await;
    let tasks = [
        tokio::spawn(write(Arc::clone(&client))),
        tokio::spawn(write(Arc::clone(&server))),
        tokio::spawn(read(client)),
        tokio::spawn(read(server)),
    ];
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_handshake_survives_one_byte_at_a_time() {
    let (a, b) = memory_pair("test");
    let (client, server) = pair_over(Gate::new(a, usize::MAX), Gate::new(b, usize::MAX)).await;
    send(&*client, b"ping").await;
    assert_eq!(receive(&*server).await.unwrap(), "ping");
    send(&*server, b"pong").await;
    assert_eq!(receive(&*client).await.unwrap(), "pong");
}

#[tokio::test]
async fn tls_1_2_is_spoken_too() {
    let ClientTls(modern) = client_tls();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(CA).unwrap()).unwrap();
    let provider = Arc::clone(modern.crypto_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (client_tls, server_tls) = (ClientTls(Arc::new(config)), server_tls());
    let (a, b) = memory_pair("test");
    let (client, server) = tokio::join!(
        TlsTransport::connect(Box::new(a), &client_tls, "127.0.0.1"),
        TlsTransport::accept(Box::new(b), &server_tls, BytesMut::new()),
    );
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!(server.session.lock().protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    pump(Arc::new(client), Arc::new(server)).await;
}

/// A client by hand: everything it has to say in one chunk.
fn say(client: &mut ClientConnection, transport: &MemoryTransport) {
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    transport.try_write(&mut batch(&wire)).unwrap();
}

#[tokio::test]
async fn bytes_around_the_handshake_are_not_lost() {
    let (near, far) = memory_pair("test");
    let ClientTls(config) = client_tls();
    let mut client = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    say(&mut client, &near);
    // The listener read the first chunk to see what it is.
    let first = receive(&far).await.unwrap();
    let server_tls = server_tls();
    let server = tokio::spawn(async move { TlsTransport::accept(Box::new(far), &server_tls, first).await });
    while client.is_handshaking() {
        let mut flight = &*receive(&near).await.unwrap();
        while !flight.is_empty() {
            client.read_tls(&mut flight).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    client.writer().write_all(b"SETUP").unwrap();
    say(&mut client, &near);
    let server = server.await.unwrap().unwrap();
    readable(&server).await.unwrap();
    assert_eq!(receive(&server).await.unwrap(), "SETUP");
    let mut bytes = BytesMut::new();
    assert_eq!(server.try_read(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn one_read_leaves_no_record_behind() {
    let (client, server) = pair().await;
    // Many records, one chunk of ciphertext.
    client.try_write(&mut batch(&[7; 3 * RECORD])).unwrap();
    let mut bytes = BytesMut::new();
    assert_eq!(server.try_read(&mut bytes).unwrap(), 3 * RECORD);
}

#[tokio::test]
async fn an_end_right_behind_plaintext_is_seen_without_more_bytes() {
    let (near, far) = tcp_pair().await;
    let (client, server) = pair_over(near, far).await;
    {
        // Both in one segment, and the socket stays open.
        let mut session = client.session.lock();
        session.writer().write_all(b"last").unwrap();
        session.send_close_notify();
    }
    client.try_write(&mut Batch::default()).unwrap();
    assert_eq!(receive(&*server).await.unwrap(), "last");
    readable(&*server).await.unwrap();
    assert_eq!(receive(&*server).await.unwrap(), "");
    assert_eq!(receive(&*server).await.unwrap(), "");
}

#[tokio::test]
async fn a_full_socket_is_not_encrypted_ahead_of() {
    let (client, server) = pair().await;
    let mut all = batch(&vec![7; 4 << 20]);
    let mut taken = 0;
    let blocked = loop {
        match client.try_write(&mut all) {
            Ok(n) => taken += n,
            Err(error) => break error,
        }
    };
    assert_eq!(blocked.kind(), ErrorKind::WouldBlock);
    assert!(client.has_unsent());
    assert!(taken < 256 * 1024 + 3 * TURN, "{taken}");
    assert_eq!(all.len() + taken, 4 << 20);
    let (mut read, mut written) = (BytesMut::new(), taken);
    while !all.is_empty() || client.has_unsent() {
        while server.try_read(&mut read).is_ok() {}
        writable(&*client).await.unwrap();
        written += client.try_write(&mut all).unwrap_or(0);
    }
    while server.try_read(&mut read).is_ok() {}
    assert_eq!((read.len(), written), (4 << 20, 4 << 20));
}

#[tokio::test]
async fn new_keys_do_not_disturb() {
    let (client, server) = pair().await;
    server.session.lock().refresh_traffic_keys().unwrap();
    send(&*server, b"under new keys").await;
    assert_eq!(receive(&*client).await.unwrap(), "under new keys");
    // The client answers with new keys of its own before what it says next.
    pump(Arc::clone(&client) as Arc<dyn Transport>, server).await;
}

#[tokio::test]
async fn an_incomplete_record_is_held() {
    let (client, server) = pair().await;
    assert_eq!(server.held(), 0);
    client.session.lock().writer().write_all(&[7; 100]).unwrap();
    let mut wire = Vec::new();
    client.session.lock().write_tls(&mut wire).unwrap();
    let (start, rest) = wire.split_at(60);
    client.inner.try_write(&mut batch(start)).unwrap();
    assert_eq!(server.try_read(&mut BytesMut::new()).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(server.held(), 60);
    client.inner.try_write(&mut batch(rest)).unwrap();
    assert_eq!((receive(&*server).await.unwrap().len(), server.held()), (100, 0));
}
