//! The peers of a running box on the plant's network.

use anyhow::bail;
use mudenet_edge::config::Config;
#[cfg(any(feature = "metrics", feature = "modbus", feature = "mqtt", feature = "webhook"))]
use mudenet_edge::plant::{self, Counts};
use mudenet_edge::run::{Line, RecordSink};
#[cfg(any(feature = "metrics", feature = "modbus", feature = "mqtt", feature = "webhook"))]
use std::sync::Arc;

/// Peers that wait for their line.
pub(super) struct Plant {
    #[cfg(feature = "modbus")]
    modbus: Option<plant::modbus::Modbus>,
    #[cfg(feature = "mqtt")]
    mqtt: Option<plant::mqtt::Mqtt>,
    #[cfg(feature = "metrics")]
    metrics: Option<(plant::metrics::Metrics, bool)>,
    #[cfg(feature = "webhook")]
    webhook: Option<plant::webhook::Webhook>,
}

/// Who says goodbye to a peer when the line has ended.
pub(super) struct Ending {
    #[cfg(feature = "mqtt")]
    mqtt: Option<plant::Ending>,
    #[cfg(feature = "webhook")]
    webhook: Option<plant::Ending>,
}

#[cfg_attr(
    not(all(feature = "metrics", feature = "modbus", feature = "mqtt", feature = "webhook")),
    allow(unused_variables, reason = "this program lacks some of the peers")
)]
impl Plant {
    /// Takes addresses, opens outboxes, and adds to the sinks. A simulated line's outboxes are in a folder of their own, and
    /// nobody may trigger it but its conveyor.
    pub(super) fn open(config: &Config, simulated: bool, sinks: &mut Vec<Box<dyn RecordSink>>) -> anyhow::Result<Self> {
        built_with(config)?;
        #[cfg(any(feature = "metrics", feature = "modbus", feature = "mqtt", feature = "webhook"))]
        let counts = Arc::new(Counts::default());
        Ok(Self {
            #[cfg(feature = "modbus")]
            modbus: modbus(config, simulated, &counts)?,
            #[cfg(feature = "mqtt")]
            mqtt: mqtt(config, simulated, &counts, sinks)?,
            #[cfg(feature = "webhook")]
            webhook: webhook(config, simulated, &counts, sinks)?,
            #[cfg(feature = "metrics")]
            metrics: metrics(config, &counts, sinks)?.map(|metrics| (metrics, simulated)),
        })
    }

    /// Lets them begin.
    pub(super) fn start(self, config: &Config, line: &Line) -> anyhow::Result<Ending> {
        #[cfg(feature = "modbus")]
        if let Some(modbus) = self.modbus {
            // Whoever deletes the file now is told of it by the next reload.
            let settings = std::fs::read(&config.path).unwrap_or_default();
            modbus.start(settings, line.feed(), line.handle())?;
        }
        #[cfg(feature = "metrics")]
        if let Some((metrics, simulated)) = self.metrics {
            metrics.start(&config.name, simulated, line.feed())?;
        }
        Ok(Ending {
            #[cfg(feature = "mqtt")]
            mqtt: self.mqtt.map(|mqtt| mqtt.start(line.feed())).transpose()?,
            #[cfg(feature = "webhook")]
            webhook: self.webhook.map(plant::webhook::Webhook::start).transpose()?,
        })
    }
}

impl Ending {
    /// Waits a little for each.
    pub(super) fn wait(self) {
        #[cfg(any(feature = "mqtt", feature = "webhook"))]
        const LONGEST: std::time::Duration = std::time::Duration::from_secs(2);
        #[cfg(feature = "mqtt")]
        self.mqtt.iter().for_each(|ending| ending.wait(LONGEST));
        #[cfg(feature = "webhook")]
        self.webhook.iter().for_each(|ending| ending.wait(LONGEST));
    }
}

#[cfg(feature = "modbus")]
fn modbus(config: &Config, simulated: bool, counts: &Arc<Counts>) -> anyhow::Result<Option<plant::modbus::Modbus>> {
    use mudenet_edge::config::ModbusConfig;
    let Some(settings) = &config.modbus else { return Ok(None) };
    let settings = ModbusConfig { control: settings.control && !simulated, ..settings.clone() };
    let modbus = plant::modbus::Modbus::open(&settings, Arc::clone(counts))?;
    println!("modbus: {}", modbus.address());
    Ok(Some(modbus))
}

#[cfg(feature = "mqtt")]
fn mqtt(
    config: &Config,
    simulated: bool,
    counts: &Arc<Counts>,
    sinks: &mut Vec<Box<dyn RecordSink>>,
) -> anyhow::Result<Option<plant::mqtt::Mqtt>> {
    use mudenet_edge::config::MqttConfig;
    let Some(settings) = &config.mqtt else { return Ok(None) };
    let settings = MqttConfig { outbox: outbox(&settings.outbox, simulated), ..settings.clone() };
    let mqtt = plant::mqtt::Mqtt::open(&settings, &config.name, simulated, Arc::clone(counts), say())?;
    sinks.push(mqtt.sink());
    Ok(Some(mqtt))
}

#[cfg(feature = "webhook")]
fn webhook(
    config: &Config,
    simulated: bool,
    counts: &Arc<Counts>,
    sinks: &mut Vec<Box<dyn RecordSink>>,
) -> anyhow::Result<Option<plant::webhook::Webhook>> {
    use mudenet_edge::config::WebhookConfig;
    let Some(settings) = &config.webhook else { return Ok(None) };
    let settings = WebhookConfig { outbox: outbox(&settings.outbox, simulated), ..settings.clone() };
    let webhook = plant::webhook::Webhook::open(&settings, &config.name, simulated, Arc::clone(counts), say())?;
    sinks.push(webhook.sink());
    Ok(Some(webhook))
}

#[cfg(feature = "metrics")]
fn metrics(
    config: &Config,
    counts: &Arc<Counts>,
    sinks: &mut Vec<Box<dyn RecordSink>>,
) -> anyhow::Result<Option<plant::metrics::Metrics>> {
    let Some(settings) = &config.metrics else { return Ok(None) };
    let metrics = plant::metrics::Metrics::open(settings, config.modbus.is_some(), Arc::clone(counts))?;
    println!("metrics: http://{}/metrics", metrics.address());
    sinks.push(metrics.sink());
    Ok(Some(metrics))
}

#[cfg(any(feature = "mqtt", feature = "webhook"))]
fn outbox(folder: &std::path::Path, simulated: bool) -> std::path::PathBuf {
    if simulated { folder.join("simulated") } else { folder.to_owned() }
}

/// Refuses tables that this program cannot serve.
fn built_with(config: &Config) -> anyhow::Result<()> {
    for (set, built, table) in [
        (config.modbus.is_some(), cfg!(feature = "modbus"), "modbus"),
        (config.mqtt.is_some(), cfg!(feature = "mqtt"), "mqtt"),
        (config.metrics.is_some(), cfg!(feature = "metrics"), "metrics"),
        (config.webhook.is_some(), cfg!(feature = "webhook"), "webhook"),
    ] {
        if set && !built {
            bail!("{table}: this program was built without it (cargo feature {table})");
        }
    }
    Ok(())
}

/// On stderr, for whoever set the box up.
#[cfg(any(feature = "mqtt", feature = "webhook"))]
fn say() -> plant::Say {
    use std::io::Write;
    Box::new(|what| {
        // That nobody reads stderr changes nothing on the line.
        let _ = writeln!(std::io::stderr(), "{what}");
    })
}
