//! One YAML document that asks for one job.

use std::{collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_json::Value;

use super::{
    action::Run,
    characteristics::{Characteristics, Tier},
    name::JobName,
    policy::Policy,
    queue::{Fallback, Queue},
    schedule::{ScheduleEntry, ScheduleTest},
};

/// A manifest: one YAML document that asks for one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tintal job")]
pub struct Manifest {
    /// Name of the job, unique in the whole tree. Default: the file's name without its ending,
    /// when the file holds one document.
    pub name: Option<JobName>,
    /// What the job is for, in the words of its owner.
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// Words to filter by.
    #[schemars(extend("maxProperties" = 32, "propertyNames" = {"pattern": "^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$"}, "additionalProperties" = {"type": "string", "maxLength": 255}))]
    pub labels: Option<BTreeMap<String, String>>,
    /// `false`: the job is known and validated, and never fires. Default: `true`.
    pub enabled: Option<bool>,
    /// When the job fires: one trigger, or a list of them. Absent: by hand only.
    pub schedule: Option<OneOrMany>,
    /// What the job executes.
    pub run: Run,
    /// Values for templates, with their defaults; `tintal trigger JOB --param KEY=VALUE` sets
    /// others.
    #[schemars(extend("maxProperties" = 128, "propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}))]
    pub params: Option<BTreeMap<String, Value>>,
    /// What the classifier reads.
    pub characteristics: Option<Characteristics>,
    /// Pins the job to a tier. Absent: the rules choose.
    pub tier: Option<Tier>,
    /// What happens to a fire when the tier cannot take it. Default: `hold`.
    pub fallback: Option<Fallback>,
    /// Where the job's messages go, when it runs on the queue tier.
    pub queue: Option<Queue>,
    /// How runs of the job are treated.
    pub policy: Option<Policy>,
    /// Unit tests of the schedule; `tintal validate` runs them.
    #[schemars(length(max = 100))]
    pub tests: Option<Vec<ScheduleTest>>,
}

/// One schedule entry, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OneOrMany(pub Vec<ScheduleEntry>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entries).map(Self)
    }
}

/// Reads one entry or a list of them.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<ScheduleEntry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schedule entry, or a list of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        ScheduleEntry::deserialize(MapAccessDeserializer::new(map)).map(|entry| vec![entry])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list))
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Schedule".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<ScheduleEntry>();
        schemars::json_schema!({
            "description": "When the job fires: one trigger, or a list of them.",
            "anyOf": [entry, {"type": "array", "items": entry, "minItems": 1, "maxItems": super::schedule::ENTRIES_MAX}]
        })
    }
}
