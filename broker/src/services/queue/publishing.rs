//! The service as it is mounted: calls of `publish` are answered by whoever stores them, many at once; all others as any
//! service answers them.

use super::Topics;
use super::batcher::{Asked, Batcher};
use crate::mq::Folder;
use std::sync::Arc;
use towline_service_api::__private::Incoming;
use towline_service_api::builtin::QueueServer;
use towline_service_api::{Contract, Dispatch, Interaction, Reply, Request, RpcError};

/// See the module.
pub(in crate::services) struct Publishing {
    server: QueueServer<Topics>,
    folder: Arc<Folder>,
    batcher: Arc<Batcher>,
    /// The place of `publish` in the contract.
    publish: usize,
}

const PUBLISH: &str = "publish";

impl Publishing {
    pub(in crate::services) fn new(topics: Topics) -> Self {
        let (folder, batcher) = (topics.folder.clone(), topics.batcher.clone());
        let methods = QueueServer::<Topics>::CONTRACT.methods;
        let publish = methods.iter().position(|method| method.name == PUBLISH).expect("it is in the contract");
        Self { server: QueueServer::new(topics), folder, batcher, publish }
    }
}

impl Dispatch for Publishing {
    fn contract(&self) -> &'static Contract {
        self.server.contract()
    }

    fn dispatch(&self, method: &str, interaction: Interaction, request: Request) -> Result<Reply, RpcError> {
        if method != PUBLISH || interaction != Interaction::RequestResponse {
            return self.server.dispatch(method, interaction, request);
        }
        let incoming = Incoming::open(self.contract(), self.publish, interaction, request)?;
        let batcher = self.batcher.clone();
        let mut arguments = incoming.arguments::<3>()?;
        let topic: String = arguments.take(0)?;
        let (topic, message, durability) = (self.folder.topic(&topic), arguments.take(1)?, arguments.take(2)?);
        Ok(incoming.later(move |done| batcher.publish(topic, message, durability, Asked::Call(done))))
    }
}
