//! Sets of zones of settings, as names.

use plan::Fallthrough;

use crate::Name;
use crate::name::suffix_start;

/// Some zones. Texts that are no names are left out; who reads settings does not let them in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zones(Vec<Name>);

impl Zones {
    pub(crate) fn of<'t>(texts: impl IntoIterator<Item = &'t String>) -> Self {
        Self(texts.into_iter().filter_map(|text| Name::parse(text).ok()).collect())
    }

    /// The longest zone that a name in lower-case wire form is in.
    pub(crate) fn of_name(&self, wire: &[u8]) -> Option<&Name> {
        let fitting = self.0.iter().filter(|zone| suffix_start(wire, zone.as_wire()).is_some());
        fitting.max_by_key(|zone| zone.as_wire().len())
    }

    pub(crate) fn contains(&self, wire: &[u8]) -> bool {
        self.of_name(wire).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Name> {
        self.0.iter()
    }
}

/// Which names a step hands on that it does not know.
#[derive(Clone, Debug)]
pub(crate) enum Through {
    Never,
    All,
    Zones(Zones),
}

impl Through {
    pub(crate) fn of(fallthrough: &Fallthrough) -> Self {
        match fallthrough {
            Fallthrough::Never => Self::Never,
            Fallthrough::All => Self::All,
            Fallthrough::Zones(zones) => Self::Zones(Zones::of(zones)),
        }
    }

    pub(crate) fn lets(&self, wire: &[u8]) -> bool {
        match self {
            Self::Never => false,
            Self::All => true,
            Self::Zones(zones) => zones.contains(wire),
        }
    }
}
