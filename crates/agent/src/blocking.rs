//! Lets a loop use something whose methods block, one call after the other, without blocking other tasks.

/// A value that lives on blocking threads while it works.
pub(crate) struct Blocking<T>(Option<T>);

impl<T: Send + 'static> Blocking<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Works with the value on a thread that may block, and waits for the end of it.
    ///
    /// # Panics
    /// When `work` panics, or an earlier call was dropped half-way: the state of the world is unknown then, and only
    /// a fresh start reads it back.
    pub(crate) async fn run<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> R {
        let mut value = self.0.take().expect("the call before came to its end");
        let working = tokio::task::spawn_blocking(move || {
            let result = work(&mut value);
            (value, result)
        });
        let (value, result) = working.await.expect("appliers return errors and do not panic");
        self.0 = Some(value);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_follow_each_other() {
        let mut log = Blocking::new(Vec::new());
        for number in 0..3 {
            log.run(move |log| log.push(number)).await;
        }
        assert_eq!(log.run(|log| log.clone()).await, [0, 1, 2]);
    }
}
