//! The TOML file: what the router shall be, or an error that names the field and the remedy.

use std::{
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use bgp::{
    config::{
        GracefulRestartConfig, HOLD_TIME_SECS_DEFAULT, MULTIPATH_MAX_DEFAULT, NeighborConfig, Origination,
        Originations, Password, SpeakerConfig,
    },
    wire::RouterId,
};
use ipnetwork::IpNetwork;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A file that was read and can work.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RouterFile {
    pub(super) speaker: SpeakerConfig,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) kernel_routes: bool,
    pub(super) originate: Originations,
}

/// The file as it is written. Unknown fields are refused: a misspelt one would be obeyed by nobody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    asn: u32,
    router_id: RouterId,
    #[serde(default = "hold_time_secs_default")]
    hold_time_secs: u16,
    #[serde(default = "listen_default")]
    listen: Vec<SocketAddr>,
    #[serde(default = "kernel_routes_default")]
    kernel_routes: bool,
    #[serde(default)]
    originate: Vec<Originated>,
    #[serde(default = "multipath_max_default")]
    multipath_max: usize,
    #[serde(default)]
    import_default_routes: bool,
    #[serde(default)]
    graceful_restart: GracefulRestart,
    #[serde(default)]
    neighbors: Vec<Neighbor>,
}

fn hold_time_secs_default() -> u16 {
    HOLD_TIME_SECS_DEFAULT
}

fn multipath_max_default() -> usize {
    MULTIPATH_MAX_DEFAULT
}

fn kernel_routes_default() -> bool {
    true
}

fn listen_default() -> Vec<SocketAddr> {
    let port = bgp::config::BGP_PORT;
    vec![([0, 0, 0, 0], port).into(), ([0_u16; 8], port).into()]
}

impl RouterFile {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or cannot work: the text names the field and the remedy.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("--config {name}: cannot read"))?;
        Self::parse(&text).with_context(|| name.to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let raw: Raw = toml::from_str(text)?;
        let speaker = SpeakerConfig {
            asn: raw.asn,
            router_id: raw.router_id,
            hold_time_secs: raw.hold_time_secs,
            graceful_restart: raw.graceful_restart.0,
            multipath_max: raw.multipath_max,
            import_default_routes: raw.import_default_routes,
            neighbors: raw.neighbors.into_iter().map(Neighbor::checked).collect::<Result<_>>()?,
        };
        speaker.check()?;
        let originate = raw.originate.into_iter().map(Originated::checked).collect::<Result<_>>()?;
        Ok(Self { speaker, listen: raw.listen, kernel_routes: raw.kernel_routes, originate })
    }
}

/// A neighbor whose password may stand in a file of its own.
#[derive(Debug)]
struct Neighbor {
    config: NeighborConfig,
    password_file: Option<PathBuf>,
}

impl Neighbor {
    /// With the password read; the line's end is not part of it.
    fn checked(mut self) -> Result<NeighborConfig> {
        let field = format!("neighbors.{}.password_file", self.config.name);
        let Some(path) = self.password_file else { return Ok(self.config) };
        if self.config.password.is_some() {
            return Err(anyhow!("{field}: there is a `password` too; keep one of the two"));
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("{field}: cannot read {}", path.display()))?;
        self.config.password = Some(Password::new(text.trim_end_matches(['\r', '\n'])));
        Ok(self.config)
    }
}

impl<'de> Deserialize<'de> for Neighbor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = toml::Table::deserialize(deserializer)?;
        let password_file = table.remove("password_file").map(PathBuf::deserialize).transpose();
        let password_file =
            password_file.map_err(|error| de::Error::custom(format!("password_file: {error}")))?;
        let config =
            NeighborConfig::deserialize(table).map_err(|error| de::Error::custom(error.message()))?;
        Ok(Self { config, password_file })
    }
}

/// `false`, `true`, or the settings.
#[derive(Debug)]
struct GracefulRestart(Option<GracefulRestartConfig>);

impl Default for GracefulRestart {
    fn default() -> Self {
        Self(Some(GracefulRestartConfig::default()))
    }
}

impl<'de> Deserialize<'de> for GracefulRestart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = GracefulRestart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`false` or a table such as { restart_time_secs = 60 }")
            }

            fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<Self::Value, E> {
                Ok(if is_on { GracefulRestart::default() } else { GracefulRestart(None) })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let settings = GracefulRestartConfig::deserialize(MapAccessDeserializer::new(map))?;
                Ok(GracefulRestart(Some(settings)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A prefix, or a table with the prefix and how it goes out.
#[derive(Debug)]
struct Originated {
    prefix: IpNetwork,
    origination: Origination,
}

impl Originated {
    fn checked(self) -> Result<(IpNetwork, Origination)> {
        let Self { prefix, origination } = self;
        let network = IpNetwork::new(prefix.network(), prefix.prefix())?;
        if network != prefix {
            return Err(anyhow!("originate: {prefix} has bits beyond its length; write {network}"));
        }
        Ok((prefix, origination))
    }
}

impl<'de> Deserialize<'de> for Originated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            prefix: IpNetwork,
            #[serde(default)]
            attributes: Origination,
        }

        impl<'de> Visitor<'de> for Either {
            type Value = Originated;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a prefix such as \"10.0.0.0/8\" or a table { prefix = \"10.0.0.0/8\", attributes = { .. } }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let expected = || de::Error::invalid_value(de::Unexpected::Str(text), &self);
                let is_prefix = text.contains('/');
                let prefix = text.parse().ok().filter(|_| is_prefix).ok_or_else(expected)?;
                Ok(Originated { prefix, origination: Origination::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Originated { prefix: table.prefix, origination: table.attributes })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests;
