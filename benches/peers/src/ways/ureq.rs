use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{CREDENTIAL, Page, check};
use crate::Result;
use crate::child::{Job, Meter};
use crate::drive::{self, Driven};

pub(super) fn blocking(job: &Job, meter: Meter) -> Result<Driven> {
    // It keeps three connections to a host; the threads would open new ones all the time.
    let mut config = Agent::config_builder().max_idle_connections_per_host(job.in_flight);
    if job.is_tls() {
        let der = CertificateDer::from_pem_slice(&job.ca_pem()?)?;
        let roots = Arc::new(vec![Certificate::from_der(&der).to_owned()]);
        let roots = RootCerts::Specific(roots);
        config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    let agent = Agent::new_with_config(config.build());
    let url = job.url();
    drive::threads(job, meter, || {
        let mut response = agent.get(&url).header("authorization", CREDENTIAL).call()?;
        check(&response.body_mut().read_json::<Page>()?)
    })
}
