use super::*;
use std::sync::Arc;

pub(super) async fn tcp_pair() -> (TcpTransport, TcpTransport) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpTransport::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, TcpTransport::new(server).unwrap())
}

pub(super) async fn pump(writer: Arc<dyn Transport>, reader: Arc<dyn Transport>) {
    const TOTAL: usize = 8 << 20;
    let writing = tokio::spawn(async move {
        let mut batch = Batch::default();
        for at in 0..TOTAL / 1024 {
            batch.push(BytesMut::from(&vec![at as u8; 1024][..]));
        }
        write_all(&*writer, &mut batch).await.unwrap();
        writer
    });
    let mut bytes = BytesMut::new();
    while bytes.len() < TOTAL {
        bytes.reserve(64 * 1024);
        match reader.try_read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => readable(&*reader).await.unwrap(),
            other => assert!(other.unwrap() > 0),
        }
    }
    assert!(bytes.chunks(1024).enumerate().all(|(at, chunk)| chunk.iter().all(|byte| *byte == at as u8)));
    let writer = writing.await.unwrap();
    writer.shutdown();
    readable(&*reader).await.unwrap();
    bytes.clear();
    assert_eq!(reader.try_read(&mut bytes).unwrap(), 0, "shutdown is the end of the stream");
}

#[tokio::test]
async fn tcp_carries_more_than_its_buffers() {
    let (a, b) = tcp_pair().await;
    pump(Arc::new(a), Arc::new(b)).await;
}

#[cfg(unix)]
#[tokio::test]
async fn unix_carries_more_than_its_buffers() {
    let (a, b) = tokio::net::UnixStream::pair().unwrap();
    pump(Arc::new(UnixTransport::new(a)), Arc::new(UnixTransport::new(b))).await;
}

#[cfg(unix)]
#[tokio::test]
async fn unix_says_who_is_there() {
    let path = std::env::temp_dir().join(format!("towline-{}-{:x}.sock", std::process::id(), fastrand::u64(..)));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let client = UnixTransport::connect(&path).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let server = UnixTransport::new(server);
    assert_eq!(client.peer(), format!("unix://{}", path.display()));
    assert!(server.peer().starts_with("unix socket, uid "), "{}", server.peer());
    assert_eq!((server.local(), client.local()), (None, None));
    pump(Arc::new(client), Arc::new(server)).await;
}

#[tokio::test]
async fn a_socket_tells_where_clients_find_it_and_others_do_not() {
    let (client, server) = tcp_pair().await;
    assert_eq!(server.local(), Some(format!("tcp://{}", client.peer())));
    let listener = tokio::net::TcpListener::bind("[::ffff:127.0.0.1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (client, server) = tokio::join!(TcpTransport::connect(("127.0.0.1", port)), listener.accept());
    assert!(client.is_ok());
    let server = TcpTransport::new(server.unwrap().0).unwrap();
    assert_eq!(server.local(), Some(format!("tcp://127.0.0.1:{port}")), "as the client wrote it");
    let (memory, _other) = memory_pair("test");
    assert_eq!(memory.local(), None);
}

#[tokio::test]
async fn memory_carries_more_than_its_capacity() {
    let (a, b) = memory_pair("test");
    pump(Arc::new(a), Arc::new(b)).await;
}

#[tokio::test]
async fn memory_moves_chunks_without_copying() {
    let (a, b) = memory_pair("test");
    let chunk = BytesMut::from(&[7u8; 4096][..]);
    let place = chunk.as_ptr();
    let mut batch = Batch::default();
    batch.push(chunk);
    a.try_write(&mut batch).unwrap();
    let mut read = BytesMut::new();
    b.try_read(&mut read).unwrap();
    assert_eq!(read.as_ptr(), place);
}

#[tokio::test]
async fn a_dropped_end_is_seen() {
    let (a, b) = memory_pair("test");
    drop(a);
    let mut batch = Batch::default();
    batch.push(BytesMut::from(&b"x"[..]));
    assert_eq!(b.try_write(&mut batch).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(b.try_read(&mut BytesMut::new()).unwrap(), 0);
}
