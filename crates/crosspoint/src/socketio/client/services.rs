//! Services of the plugin: names under which a client is called.

use super::handlers::{Event, Outcome};
use super::socket::Socket;
use super::{Args, SocketError, ToArgs};
use crosspoint_gateways::socketio::client::calls::{self, Call};

impl Socket {
    /// Provides a service: its calls are events with its name.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack), and [`SocketError::ServiceExists`]
    pub async fn provide_service<F, R>(&self, name: &str, handler: F) -> Result<(), SocketError>
    where
        F: Fn(Event) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        if self.has_service(name).await? {
            return Err(SocketError::ServiceExists(name.to_owned()));
        }
        self.on(name, handler);
        self.say(calls::create_service(name)).await
    }

    /// Whether somebody provides a service.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack)
    pub async fn has_service(&self, name: &str) -> Result<bool, SocketError> {
        let exists: Option<bool> = self.ask(calls::check_service(name)).await?.value()?;
        Ok(exists == Some(true))
    }

    /// Calls a service, and waits for the answer. It is looked first whether somebody provides it.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack), and [`SocketError::NoService`]
    pub async fn call_service<T: ToArgs + ?Sized>(
        &self,
        name: &str,
        args: &T,
    ) -> Result<Args, SocketError> {
        self.ask(self.service(name, args).await?).await
    }

    /// The same without an answer.
    ///
    /// # Errors
    /// As [`call_service`](Self::call_service)
    pub async fn emit_service<T: ToArgs + ?Sized>(
        &self,
        name: &str,
        args: &T,
    ) -> Result<(), SocketError> {
        self.say(self.service(name, args).await?).await
    }

    async fn service<T: ToArgs + ?Sized>(&self, name: &str, args: &T) -> Result<Call, SocketError> {
        let call = calls::use_service(name, &args.to_args()?.to_machine()?);
        match self.has_service(name).await? {
            true => Ok(call),
            false => Err(SocketError::NoService(name.to_owned())),
        }
    }

    /// Provides a service no longer.
    ///
    /// # Errors
    /// As [`emit`](Self::emit)
    pub async fn destroy_service(&self, name: &str) -> Result<(), SocketError> {
        // A server made with node dies of one that nobody provides.
        if self.has_service(name).await? {
            self.say(calls::destroy_service(Some(name))).await?;
        }
        self.off(name);
        Ok(())
    }

    /// Provides no service any more. Their handlers stay.
    ///
    /// # Errors
    /// As [`emit`](Self::emit)
    pub async fn destroy_services(&self) -> Result<(), SocketError> {
        self.say(calls::destroy_service(None)).await
    }
}
