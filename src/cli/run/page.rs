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

/// Takes the page's address.
#[cfg(feature = "page")]
pub(super) fn open(config: &Config, record: Option<&Settings>) -> anyhow::Result<Waiting> {
    let Some(settings) = &config.page else { return Ok(None) };
    Ok(Some(mudenet_edge::page::Page::open(settings, record.map(|record| record.folder.as_path()))?))
}

/// The page's sink.
#[cfg(feature = "page")]
pub(super) fn sink(page: &Waiting) -> Option<Box<dyn RecordSink>> {
    page.as_ref().map(mudenet_edge::page::Page::sink)
}

/// The page's sink.
#[cfg(not(feature = "page"))]
pub(super) fn sink(_page: &Waiting) -> Option<Box<dyn RecordSink>> {
    None
}

/// Says something on stderr and on the page.
#[cfg(feature = "page")]
pub(super) fn voice(page: &Waiting) -> impl FnMut(String) + Send + use<> {
    let mut shown = page.as_ref().map(mudenet_edge::page::Page::voice);
    move |text| {
        crate::cli::print_error(&text);
        if let Some(shown) = &mut shown {
            shown(text);
        }
    }
}

/// Says something on stderr.
#[cfg(not(feature = "page"))]
pub(super) fn voice(_page: &Waiting) -> impl FnMut(String) + Send + use<> {
    |text| crate::cli::print_error(&text)
}

/// Takes the page's address.
#[cfg(not(feature = "page"))]
pub(super) fn open(config: &Config, _record: Option<&Settings>) -> anyhow::Result<Waiting> {
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
        println!("page: {}", page.url());
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
