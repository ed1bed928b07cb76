//! ServiceCIDRs: ranges of ClusterIPs that a cluster has besides those it began with.

use k8s_openapi::api::networking::v1;
use types::{ObjectRef, Prefix};

use crate::field::{Read, name_of, read_prefix};
use crate::{Kind, Lower, Object, Rejected};

/// A ServiceCIDR. One that is being deleted counts: it stays for as long as Services have addresses of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCidr {
    /// Name.
    pub name: String,
    /// `spec.cidrs`.
    pub ranges: Vec<Prefix>,
}

impl Lower for v1::ServiceCIDR {
    const KIND: Kind = Kind::ServiceCidr;

    fn lower(&self) -> Result<Object, Rejected> {
        let name = name_of(&self.metadata);
        let texts = self.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten()).enumerate();
        let ranges: Read<Vec<Prefix>> =
            texts.map(|(index, text)| read_prefix(|| format!("spec.cidrs[{index}]"), text)).collect();
        match ranges {
            Ok(ranges) => Ok(Object::ServiceCidr(ServiceCidr { name, ranges })),
            Err(error) => Err(error.of(ObjectRef::cluster(Kind::ServiceCidr.as_str(), &name))),
        }
    }
}
