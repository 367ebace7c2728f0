use super::Product;
use super::inbox::{Handle, Said};
use crate::decide::drift::Baseline;
use crate::guard::guarded;
use crate::run::Pipeline;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::spawn;

/// A recipe that was loaded, verified and warmed up.
pub struct Prepared {
    /// What it is.
    pub product: Arc<Product>,
    /// Its model, ready to inspect.
    pub pipeline: Pipeline,
}

impl Prepared {
    /// A recipe of this number and name; `model` is the SHA-256 of its bundle.
    pub fn new(number: u16, name: String, model: String, pipeline: Pipeline) -> Self {
        let zones = pipeline.zones().map(|zones| zones.zones().iter().map(|zone| Arc::clone(&zone.name)).collect());
        let product = Product {
            number,
            name,
            model,
            threshold: pipeline.threshold(),
            region: pipeline.region(),
            zones: zones.unwrap_or_default(),
            baseline: None,
        };
        Self { product: Arc::new(product), pipeline }
    }

    /// Knows what good parts looked like at calibration.
    #[must_use]
    pub fn with_baseline(mut self, baseline: Baseline) -> Self {
        Arc::make_mut(&mut self.product).baseline = Some(Arc::new(baseline));
        self
    }
}

/// Where recipes come from.
pub trait Recipes: Send {
    /// Loads, verifies and warms up a recipe. It runs beside the inspection and may take its time.
    ///
    /// # Errors
    /// One sentence that says what is wrong with it.
    fn load(&mut self, number: u16) -> Result<Prepared, String>;
}

enum Request {
    Load(u16),
    Replace(Box<dyn Recipes>),
}

/// The thread that loads recipes.
pub(super) struct Loader {
    requests: SyncSender<Request>,
    handle: Handle,
}

impl Loader {
    pub(super) fn start(recipes: Box<dyn Recipes>, handle: Handle) -> Self {
        let (requests, receiver) = sync_channel(4);
        let answers = handle.clone();
        spawn(move || serve(recipes, &receiver, &answers));
        Self { requests, handle }
    }

    /// The answer comes through the inbox.
    pub(super) fn load(&self, number: u16) {
        if self.requests.try_send(Request::Load(number)).is_err() {
            let handle = self.handle.clone();
            // From a thread of its own: the caller is the one who empties the inbox.
            spawn(move || {
                let result = Err("the recipe before is still being loaded".to_owned());
                handle.say(Said::Recipe { number, result })
            });
        }
    }

    pub(super) fn replace(&self, recipes: Box<dyn Recipes>) {
        // Where the loader is stuck the recipe in use is asked for next, and that fails visibly.
        let _ = self.requests.try_send(Request::Replace(recipes));
    }
}

fn serve(mut recipes: Box<dyn Recipes>, requests: &Receiver<Request>, handle: &Handle) {
    while let Ok(request) = requests.recv() {
        match request {
            Request::Replace(other) => recipes = other,
            Request::Load(number) => {
                let result = match guarded(|| recipes.load(number)) {
                    Ok(loaded) => loaded.map(Box::new),
                    Err(panicked) => Err(panicked.to_string()),
                };
                if !handle.say(Said::Recipe { number, result }) {
                    return;
                }
            }
        }
    }
}
