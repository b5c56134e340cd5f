//! Every NAT is recognised, and a behaviour that cannot be known is not guessed.

use probe::{Behaviour, ClassicName, Findings, Mapping, Outcome, Unknown, Verdict};
use webrtc_util::vnet::nat::{EndpointDependencyType, NatType};

use crate::servers::{FIRST, Manner, SECOND};
use crate::world::{PUBLIC, discover};

use Behaviour::{AddressAndPortDependent, AddressDependent, EndpointIndependent};

const BEHAVIOURS: [Behaviour; 3] = [
    EndpointIndependent,
    AddressDependent,
    AddressAndPortDependent,
];

fn nat(mapping: Behaviour, filtering: Behaviour) -> Option<NatType> {
    let its = |behaviour| match behaviour {
        EndpointIndependent => EndpointDependencyType::EndpointIndependent,
        AddressDependent => EndpointDependencyType::EndpointAddrDependent,
        AddressAndPortDependent => EndpointDependencyType::EndpointAddrPortDependent,
    };
    Some(NatType {
        mapping_behavior: its(mapping),
        filtering_behavior: its(filtering),
        ..Default::default()
    })
}

async fn behind(nat: Option<NatType>, manner: Manner) -> Findings {
    discover(nat, manner, &[&at(FIRST, 3478)]).await
}

fn at(ip: &str, port: u16) -> String {
    format!("{ip}:{port}")
}

#[tokio::test(start_paused = true)]
async fn every_pair_of_mapping_and_filtering_is_recognised() {
    for mapping in BEHAVIOURS {
        for filtering in BEHAVIOURS {
            let findings = behind(nat(mapping, filtering), Manner::Discovery).await;
            assert_eq!(findings.mapping, Ok(Mapping::Nat(mapping)), "{findings:#?}");
            assert_eq!(findings.filtering, Ok(filtering), "{findings:#?}");
            // This NAT sends back the datagrams that its own filter lets in.
            let hairpins = filtering == EndpointIndependent;
            assert_eq!(findings.hairpinning, Ok(hairpins));
            assert_eq!(findings.mapped.unwrap().ip().to_string(), PUBLIC);
            assert_eq!(findings.largest_payload, Ok(4_000));
            assert_eq!(findings.strays, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_names_of_rfc_3489_and_the_verdict_follow_from_the_behaviours() {
    use ClassicName::{FullCone, PortRestrictedCone, RestrictedCone, Symmetric};
    let [any, address, port] = BEHAVIOURS;
    for (mapping, filtering, name, verdict) in [
        (any, any, FullCone, Verdict::Direct),
        (any, address, RestrictedCone, Verdict::Direct),
        (any, port, PortRestrictedCone, Verdict::Mostly),
        (address, any, Symmetric, Verdict::NeedsTurn),
        (port, port, Symmetric, Verdict::NeedsTurn),
    ] {
        let findings = behind(nat(mapping, filtering), Manner::Discovery).await;
        assert_eq!(findings.classic_name(), Some(name));
        assert_eq!(Verdict::of(&findings, true), verdict);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_nat_there_is_no_mapping_and_nothing_that_only_a_nat_has() {
    let findings = behind(None, Manner::Discovery).await;
    assert_eq!(findings.mapping, Ok(Mapping::NoNat));
    assert_eq!(findings.filtering, Ok(EndpointIndependent));
    assert_eq!(findings.hairpinning, Err(Unknown::NoNat));
    assert_eq!(findings.ports, Err(Unknown::NoNat));
    assert_eq!(findings.double_nat, None);
    assert_eq!(findings.classic_name(), Some(ClassicName::OpenInternet));
    assert_eq!(Verdict::of(&findings, false), Verdict::Direct);
}

#[tokio::test(start_paused = true)]
async fn two_ordinary_servers_tell_the_mapping_and_nothing_of_the_filtering() {
    let servers = [at(FIRST, 3478), at(SECOND, 3478)];
    let servers = servers.each_ref().map(String::as_str);
    let [any, address, port] = BEHAVIOURS;
    for (mapping, seen, verdict) in [
        (any, Mapping::Nat(any), Verdict::Mostly),
        (address, Mapping::Dependent, Verdict::NeedsTurn),
        (port, Mapping::Dependent, Verdict::NeedsTurn),
    ] {
        let nat = nat(mapping, AddressAndPortDependent);
        let findings = discover(nat, Manner::Ordinary, &servers).await;
        assert_eq!(findings.mapping, Ok(seen));
        assert_eq!(findings.filtering, Err(Unknown::NoDiscovery));
        assert_eq!(findings.largest_payload, Err(Unknown::NoDiscovery));
        assert_eq!(Verdict::of(&findings, true), verdict);
    }
}

#[tokio::test(start_paused = true)]
async fn one_ordinary_server_tells_whether_there_is_a_nat_and_no_more() {
    let nat = nat(EndpointIndependent, EndpointIndependent);
    let findings = behind(nat, Manner::Ordinary).await;
    assert_eq!(findings.mapping, Err(Unknown::OneServer));
    assert_eq!(findings.classic_name(), None);
    assert_eq!(Verdict::of(&findings, true), Verdict::Undecided);
    let findings = behind(None, Manner::Ordinary).await;
    assert_eq!(findings.mapping, Ok(Mapping::NoNat));
}

#[tokio::test(start_paused = true)]
async fn two_ports_of_one_ordinary_server_show_a_mapping_that_depends_on_the_port() {
    let servers = [at(FIRST, 3478), at(FIRST, 3479)];
    let servers = servers.each_ref().map(String::as_str);
    let dependent = nat(AddressAndPortDependent, EndpointIndependent);
    let findings = discover(dependent, Manner::Ordinary, &servers).await;
    assert_eq!(findings.mapping, Ok(Mapping::Nat(AddressAndPortDependent)));
    let independent = nat(EndpointIndependent, EndpointIndependent);
    let findings = discover(independent, Manner::Ordinary, &servers).await;
    assert_eq!(findings.mapping, Err(Unknown::OneServer));
}

#[tokio::test(start_paused = true)]
async fn an_alternate_address_that_is_dead_is_not_taken_for_a_filter() {
    let nat = nat(EndpointIndependent, EndpointIndependent);
    let findings = behind(nat, Manner::DeadAlternate).await;
    assert_eq!(findings.filtering, Err(Unknown::DeadAlternate));
    assert_eq!(findings.mapping, Err(Unknown::OneServer));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_from_the_asked_address_tells_nothing_of_the_filtering() {
    let nat = nat(EndpointIndependent, AddressAndPortDependent);
    let findings = behind(nat, Manner::Stubborn).await;
    assert_eq!(findings.filtering, Err(Unknown::SameSource));
    assert_eq!(findings.mapping, Ok(Mapping::Nat(EndpointIndependent)));
}

#[tokio::test(start_paused = true)]
async fn servers_that_refuse_are_named_with_their_code() {
    for code in [300, 400, 401, 420, 500] {
        let nat = nat(EndpointIndependent, EndpointIndependent);
        let findings = behind(nat, Manner::Refusing(code)).await;
        assert_eq!(findings.servers, [Outcome::Refused(code)]);
        assert_eq!(findings.mapping, Err(Unknown::NoAnswer));
        assert_eq!(findings.hairpinning, Err(Unknown::NoAnswer));
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_answers_all_is_unknown_and_blocked_unless_tcp_passes() {
    let nowhere = ["203.0.113.200:3478", "203.0.113.201:3478"];
    let nat = nat(EndpointIndependent, EndpointIndependent);
    let findings = discover(nat, Manner::Discovery, &nowhere).await;
    assert_eq!(findings.servers, [Outcome::Silent, Outcome::Silent]);
    assert_eq!(findings.mapping, Err(Unknown::NoAnswer));
    assert_eq!(findings.filtering, Err(Unknown::NoAnswer));
    assert_eq!(findings.ports, Err(Unknown::NoAnswer));
    assert_eq!(findings.mapped, None);
    assert_eq!(Verdict::of(&findings, false), Verdict::Blocked);
    assert_eq!(Verdict::of(&findings, true), Verdict::NeedsTurnOverTcp);
}
