use super::SOON;
use super::api::{Greeter, GreeterClient, GreeterError, GreeterServer, Greeting};
use super::program::Program;
use super::scene::{Scene, Who};
use futures::{Stream, StreamExt, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use towline_responder::{App, Serve, Streaming};

/// What the broker has by default to end in peace.
const BROKER: Duration = Duration::from_secs(30);
/// What an app has.
const APP: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_each_of_the_three_well_and_the_others_go_on() {
    let mut scene = Scene::set("SIGTERM").await;
    for (who, grace) in [(Who::Responder, APP), (Who::Requester, APP), (Who::Broker, BROKER)] {
        scene.end(who, grace).await;
        scene.start(who).await;
        let ready = scene.ready(who).await;
        if who == Who::Broker {
            scene.healed(ready).await;
        } else {
            scene.until_ok().await;
        }
    }
    for (who, grace) in [(Who::Requester, APP), (Who::Responder, APP), (Who::Broker, BROKER)] {
        scene.end(who, grace).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_a_responder_replaces_one_that_ends_well() {
    let mut scene = Scene::set("a responder replaced in peace").await;
    for _ in 0..3 {
        let mut next = scene.another_responder();
        next.expect("ready").await;
        let before = scene.replace_responder(next);
        before.terminate();
        before.ended(APP).await;
        scene.all_ok(2).await;
    }
}

/// Says when a request came, and answers when it may.
struct Patient {
    came: mpsc::Sender<()>,
    may: Arc<Semaphore>,
}

impl Greeter for Patient {
    async fn greet(&self, name: String) -> Result<Greeting, GreeterError> {
        self.came.send(()).await.expect("the test waits");
        let _permit = self.may.acquire().await.expect("it is never closed");
        Ok(Greeting { text: name, by: String::new() })
    }

    async fn wave(&self, _name: String) {}

    fn count_down(&self, from: u32) -> impl Stream<Item = Result<u32, GreeterError>> {
        stream::iter((1..=from).rev().map(Ok))
    }

    async fn greet_all(&self, _names: Streaming<String>) -> Result<Greeting, GreeterError> {
        Err(GreeterError::NameMissing)
    }

    fn chat(&self, _room: String, said: Streaming<String>) -> impl Stream<Item = Result<String, GreeterError>> {
        said.map(|text| text.map_err(|error| GreeterError::BrokenOff { why: error.message }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_when_the_broker_gets_sigterm_comes_to_its_end() {
    let mut broker = Program::broker("127.0.0.1:0");
    let address = broker.expect("towline ready tcp://").await.text.replace("towline ready ", "");
    let (came, mut requests) = mpsc::channel(1);
    let may = Arc::new(Semaphore::new(0));
    let service = GreeterServer::new(Patient { came, may: may.clone() });
    let _responder = App::connect(&address).serve(service).start().await.expect("the broker is there");
    let requester = App::connect(&address).start().await.expect("the broker is there");
    let greeter = requester.client::<GreeterClient>();

    let mut numbers = greeter.count_down(10_000).prefetch(4).start();
    assert_eq!(numbers.next().await, Some(Ok(10_000)));
    let (said, items) = mpsc::channel::<String>(1);
    let items = stream::unfold(items, async |mut items| items.recv().await.map(|item| (item, items)));
    let mut heard = greeter.chat("lobby".to_owned(), items).start();
    said.send("before".to_owned()).await.expect("it is taken");
    assert_eq!(heard.next().await, Some(Ok("before".to_owned())));
    let call = tokio::spawn({
        let greeter = greeter.clone();
        async move { greeter.greet("Ada".to_owned()).timeout(2 * SOON).await }
    });
    timeout(SOON, requests.recv()).await.expect("the request arrives");

    broker.terminate();
    let mut state = requester.state();
    let left = timeout(SOON, state.wait_for(|state| state.connected == 0)).await;
    left.expect("the requester hears of it").expect("the app lives");

    assert!(!broker.has_ended());
    let rest: Vec<_> = timeout(SOON, numbers.collect()).await.expect("the stream goes on");
    assert_eq!(rest, (1..10_000).rev().map(Ok).collect::<Vec<_>>());
    said.send("after".to_owned()).await.expect("it is taken");
    assert_eq!(timeout(SOON, heard.next()).await.expect("the channel goes on"), Some(Ok("after".to_owned())));
    drop(said);
    assert_eq!(timeout(SOON, heard.next()).await.expect("the channel ends"), None);
    assert!(!broker.has_ended());
    may.add_permits(1);
    let answer = timeout(SOON, call).await.expect("the call goes on").expect("no panic");
    assert_eq!(answer.map(|greeting| greeting.text), Ok("Ada".to_owned()));
    broker.ended(BROKER).await;
}
