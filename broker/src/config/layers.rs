//! From flags, environment, file and defaults to one [`Config`], each value with its origin.

use super::{Config, ConfigError, Problem, validate};
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::fmt;
use std::path::PathBuf;

const PREFIX: &str = "TOWLINE_";
/// A name less alike than this is not suggested.
const ALIKE: f64 = 0.5;

/// Where settings come from, strongest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub flags: Vec<Flag>,
    /// All variables; those that begin with `TOWLINE_` and hold a `__` are settings.
    pub environment: Vec<(String, String)>,
    /// Must exist; none is read if none is named here.
    pub file: Option<PathBuf>,
}

/// A command line flag that sets a key.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As typed, `--listen`.
    pub name: &'static str,
    /// `listen.addresses`
    pub key: &'static str,
    /// A text, a truth value, or a list of texts.
    pub value: Value,
}

/// What set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A setting as it applies: the key, the value as TOML (none if unset), and what set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Option<String>,
    pub origin: String,
}

impl Sources {
    /// The configuration, with every check passed.
    ///
    /// # Errors
    /// Every problem found, each with its origin.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let layered = self.layered()?;
        layered.check()?;
        Ok(layered.config)
    }

    /// The configuration as typed, before the checks that span several keys.
    ///
    /// # Errors
    /// A file that cannot be read, unknown keys, values of the wrong form.
    pub fn layered(&self) -> Result<Layered, ConfigError> {
        let defaults = Layer { origin: Origin::Default, values: dict_of(&Config::default()) };
        let mut layers = Vec::new();
        layers.extend(self.file_layer()?);
        layers.extend(self.environment_layers()?);
        layers.extend(self.flags.iter().map(|flag| Layer::one(Origin::Flag(flag.name), flag.key, flag.value.clone())));

        let problems: Vec<Problem> = layers.iter().flat_map(|layer| unknown_keys(layer, &defaults.values)).collect();
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        let known = defaults.values.clone();
        let figment = layers.into_iter().fold(Figment::from(defaults), Figment::merge);
        let config = figment.extract_lossy().map_err(|error| wrong_value(error, &figment, &known))?;
        Ok(Layered { config, figment })
    }

    fn file_layer(&self) -> Result<Option<Layer>, Problem> {
        let Some(path) = &self.file else { return Ok(None) };
        let what = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| {
            Problem::new(&what, format!("cannot be read: {e}"), "name a file with --config, or leave it out")
        })?;
        let values = Toml::from_str::<Dict>(&text)
            .map_err(|e| Problem::new(&what, format!("not TOML: {}", e.to_string().trim_end()), "correct it there"))?;
        Ok(Some(Layer { origin: Origin::File(path.to_owned()), values }))
    }

    /// Variables without `__` are not ours to judge (an orchestrator sets `TOWLINE_PORT` for a service named towline),
    /// except those that would be a key if only their underscores were right.
    fn environment_layers(&self) -> Result<Vec<Layer>, ConfigError> {
        let keys = leaves(&dict_of(&Config::default()));
        let mut layers = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in &self.environment {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let origin = Origin::Variable(name.clone());
            if rest.contains("__") {
                let key = rest.to_ascii_lowercase().replace("__", ".");
                layers.push(Layer::one(origin, &key, Value::from(value.clone())));
            } else if let Some(meant) = keys.iter().map(|key| variable(key)).find(|key| squeezed(key) == squeezed(name))
            {
                let why = "not a setting, though it looks like one".to_owned();
                problems.push(Problem::new(origin.to_string(), why, format!("did you mean `{meant}`?")));
            }
        }
        if problems.is_empty() { Ok(layers) } else { Err(ConfigError { problems }) }
    }
}

/// A configuration and the layers it came from.
#[derive(Clone, Debug)]
pub struct Layered {
    pub config: Config,
    figment: Figment,
}

impl Layered {
    /// The checks that the types cannot make.
    ///
    /// # Errors
    /// All of them that fail.
    pub fn check(&self) -> Result<(), ConfigError> {
        let problems: Vec<Problem> = validate::violations(&self.config)
            .into_iter()
            .map(|violation| {
                let origins = violation.keys.iter().map(|key| self.origin(key));
                let what = origins.reduce(|first, next| if first == DEFAULT { next } else { first });
                Problem::new(what.unwrap_or_default(), violation.why, violation.next)
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }

    /// Every setting in the order of its key; the budget as it applies, set or not.
    pub fn entries(&self) -> Vec<Entry> {
        let mut shown = self.config.clone();
        shown.relay.budget = Some(self.config.relay.budget_bytes());
        let values = Value::from(dict_of(&shown));
        leaves(&dict_of(&shown))
            .into_iter()
            .map(|key| {
                let value = values.find_ref(&key).and_then(toml_text);
                Entry { value, origin: self.origin(&key), key }
            })
            .collect()
    }

    fn origin(&self, key: &str) -> String {
        self.figment.find_metadata(key).map_or_else(|| DEFAULT.to_owned(), |metadata| metadata.name.to_string())
    }
}

const DEFAULT: &str = "default";

/// Values of one origin.
struct Layer {
    origin: Origin,
    values: Dict,
}

impl Layer {
    fn one(origin: Origin, key: &str, value: Value) -> Self {
        Self { origin, values: figment::util::nest(key, value).into_dict().unwrap_or_default() }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn dict_of(config: &Config) -> Dict {
    let value = Value::serialize(config).expect("a configuration has text keys and plain values");
    value.into_dict().expect("a struct is a dictionary")
}

/// Paths of all values that are not sections, `relay.mark`.
fn leaves(values: &Dict) -> Vec<String> {
    let in_section = |(name, value): (&String, &Value)| match value.as_dict() {
        Some(section) => leaves(section).into_iter().map(|key| format!("{name}.{key}")).collect(),
        None => vec![name.clone()],
    };
    values.iter().flat_map(in_section).collect()
}

fn unknown_keys(layer: &Layer, known: &Dict) -> Vec<Problem> {
    let known = leaves(known);
    let sections = || known.iter().filter_map(|key| key.split_once('.')).map(|(section, _)| section);
    let mut problems = Vec::new();
    for key in leaves(&layer.values) {
        // An empty table has no leaves; a section given as a value is refused as a value.
        if known.contains(&key) || sections().any(|section| section == key) {
            continue;
        }
        let next = suggestion(&key, &known).map_or_else(
            || "`towline config show` lists all keys".to_owned(),
            |meant| match &layer.origin {
                Origin::Variable(_) => format!("did you mean `{}`?", variable(meant)),
                _ => format!("did you mean `{meant}`?"),
            },
        );
        problems.push(Problem::new(layer.origin.to_string(), format!("unknown key `{key}`"), next));
    }
    problems
}

/// The known key most like this one: by its last name within its section, then wherever that name is, then as a whole.
fn suggestion<'a>(key: &str, known: &'a [String]) -> Option<&'a str> {
    let alike = |a: &str, b: &str| strsim::normalized_damerau_levenshtein(a, b);
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let score = |candidate: &str| {
        let (its_section, its_name) = candidate.rsplit_once('.').unwrap_or(("", candidate));
        let in_section = if its_section == section { alike(name, its_name) } else { 0.0 };
        let elsewhere = if its_name == name { 0.9 } else { 0.0 };
        f64::max(in_section, elsewhere).max(alike(key, candidate) - 0.2)
    };
    let best = known.iter().map(|candidate| (score(candidate), candidate)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= ALIKE).then_some(best.1.as_str())
}

/// `relay.mark` is `TOWLINE_RELAY__MARK`.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

fn squeezed(name: &str) -> String {
    name.replace('_', "")
}

fn wrong_value(error: figment::Error, figment: &Figment, known: &Dict) -> ConfigError {
    let problems = error.into_iter().map(|error| {
        // The path may go on into a list.
        let key = error.path.iter().take(2).cloned().collect::<Vec<_>>().join(".");
        let metadata = error.metadata.as_ref().or_else(|| figment.find_metadata(&key));
        let origin = metadata.map_or_else(|| DEFAULT.to_owned(), |metadata| metadata.name.to_string());
        let known = Value::from(known.clone());
        let next = match known.find_ref(&key) {
            Some(Value::Empty(..)) => "leave it out for its default".to_owned(),
            Some(default) if default.as_dict().is_none() => {
                format!("the default is `{key} = {}`", toml_text(default).unwrap_or_default())
            }
            _ => "this is a section, set a key of it: `towline config show` lists them".to_owned(),
        };
        Problem::new(origin, format!("`{key}`: {}", error.kind), next)
    });
    ConfigError { problems: problems.collect() }
}

/// As it stands in a file; nothing for what is unset and for a section.
fn toml_text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(serde_json::Value::from(text.as_str()).to_string()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, number) => number.to_u128().map(|number| number.to_string()),
        Value::Array(_, items) => {
            Some(format!("[{}]", items.iter().filter_map(toml_text).collect::<Vec<_>>().join(", ")))
        }
        _ => None,
    }
}
