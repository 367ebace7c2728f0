//! The page of a running box.

use mudenet_edge::config::Config;
use mudenet_edge::record::journal::Settings;
use mudenet_edge::run::{Line, RecordSink};

/// A page that waits for its line.
#[cfg(feature = "page")]
pub(super) type Waiting = Option<mudenet_edge::page::Page>;
/// A page that waits for its line.
#[cfg(not(feature = "page"))]
pub(super) type Waiting = ();

/// Takes the page's address and adds it to the sinks.
#[cfg(feature = "page")]
pub(super) fn open(
    config: &Config,
    record: Option<&Settings>,
    sinks: &mut Vec<Box<dyn RecordSink>>,
) -> anyhow::Result<Waiting> {
    let Some(settings) = &config.page else { return Ok(None) };
    let page = mudenet_edge::page::Page::open(settings, record.map(|record| record.folder.as_path()))?;
    sinks.push(page.sink());
    Ok(Some(page))
}

/// Takes the page's address and adds it to the sinks.
#[cfg(not(feature = "page"))]
pub(super) fn open(
    config: &Config,
    _record: Option<&Settings>,
    _sinks: &mut Vec<Box<dyn RecordSink>>,
) -> anyhow::Result<Waiting> {
    match &config.page {
        None => Ok(()),
        Some(_) => anyhow::bail!("page: this program was built without the page (cargo feature page)"),
    }
}

/// Serves it.
#[cfg(feature = "page")]
pub(super) fn start(
    page: Waiting,
    config: &Config,
    record: Option<&Settings>,
    simulated: bool,
    line: &Line,
) -> anyhow::Result<()> {
    if let Some(page) = page {
        println!("page: http://{}", page.address());
        let record = record.map(|record| record.folder.as_path());
        page.start(config, record, simulated, line.feed(), line.handle())?;
    }
    Ok(())
}

/// Serves it.
#[cfg(not(feature = "page"))]
pub(super) fn start(
    _page: Waiting,
    _config: &Config,
    _record: Option<&Settings>,
    _simulated: bool,
    _line: &Line,
) -> anyhow::Result<()> {
    Ok(())
}
