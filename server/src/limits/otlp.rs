//! `otlp_config`: from the keys to the rules that the distributor applies.

use distributor::otlp::{Action, Match, Rule, Rules};

use crate::config::limits::{OtlpRuleConfig, OtlpRulesConfig};

/// The rules; `labels` are the resource attributes that are labels of every tenant. The error names
/// the key.
pub fn rules(config: &OtlpRulesConfig, labels: &[String]) -> Result<Rules, String> {
    let resource = &config.resource_attributes;
    let mut of_resource = Vec::new();
    if !resource.ignore_defaults {
        of_resource.push(Rule { action: Action::IndexLabel, of: Match::Names(labels.to_vec()) });
    }
    of_resource.extend(list("resource_attributes.attributes_config", &resource.attributes_config)?);
    let scope = list("scope_attributes", &config.scope_attributes)?;
    if scope.iter().any(|rule| rule.action == Action::IndexLabel) {
        return Err("scope_attributes: attributes of scopes cannot be labels".to_owned());
    }
    Ok(Rules {
        resource: of_resource,
        scope,
        log: list("log_attributes", &config.log_attributes)?,
        severity_text_as_label: config.severity_text_as_label,
    })
}

fn list(key: &str, configs: &[OtlpRuleConfig]) -> Result<Vec<Rule>, String> {
    let rules = configs.iter().enumerate();
    rules
        .map(|(index, config)| rule(config).map_err(|error| format!("{key}[{index}]: {error}")))
        .collect()
}

fn rule(config: &OtlpRuleConfig) -> Result<Rule, String> {
    let action = match config.action.as_str() {
        "index_label" => Action::IndexLabel,
        "structured_metadata" => Action::Metadata,
        "drop" => Action::Drop,
        other => {
            let known = "index_label, structured_metadata, drop";
            return Err(format!("action: {other:?} is not one of {known}"));
        }
    };
    let of = match (config.attributes.as_slice(), config.regex.as_str()) {
        ([], "") => return Err("either attributes or regex must be set".to_owned()),
        (names, "") => Match::Names(names.to_vec()),
        ([], pattern) => Match::regex(pattern).map_err(|error| format!("regex: {error}"))?,
        _ => return Err("only one of attributes and regex can be set".to_owned()),
    };
    Ok(Rule { action, of })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> anyhow::Result<OtlpRulesConfig> {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::new()?;
        write!(file, "limits_config:\n  otlp_config:\n{yaml}")?;
        Ok(crate::config::load_file(file.path())?.limits().otlp_config.clone())
    }

    #[test]
    fn rules_come_behind_the_labels_of_every_tenant() {
        let yaml = "    resource_attributes:\n      attributes_config:\n\
                    \x20       - action: index_label\n          regex: team.*\n\
                    \x20   log_attributes:\n      - action: drop\n        attributes: [a, b]\n\
                    \x20   severity_text_as_label: true\n";
        let rules = rules(&config(yaml).unwrap(), &["service.name".to_owned()]).unwrap();
        let names =
            |names: &[&str]| Match::Names(names.iter().map(|&name| name.to_owned()).collect());
        let want = Rules {
            resource: vec![
                Rule { action: Action::IndexLabel, of: names(&["service.name"]) },
                Rule { action: Action::IndexLabel, of: Match::regex("team.*").unwrap() },
            ],
            scope: vec![],
            log: vec![Rule { action: Action::Drop, of: names(&["a", "b"]) }],
            severity_text_as_label: true,
        };
        assert_eq!(rules, want);
        let yaml = "    resource_attributes:\n      ignore_defaults: true\n";
        let rules = super::rules(&config(yaml).unwrap(), &["service.name".to_owned()]).unwrap();
        assert!(rules.resource.is_empty());
    }

    #[test]
    fn rules_that_make_no_sense_are_refused_with_their_key() {
        for (yaml, want) in [
            ("log_attributes: [{action: keep, regex: x}]", "log_attributes[0]: action: \"keep\""),
            ("log_attributes: [{action: drop}]", "either attributes or regex"),
            ("log_attributes: [{action: drop, regex: x, attributes: [y]}]", "only one of"),
            ("log_attributes: [{action: drop, regex: \"(\"}]", "regex: "),
            ("scope_attributes: [{action: index_label, regex: x}]", "cannot be labels"),
        ] {
            let error = format!("{:#}", config(&format!("    {yaml}\n")).unwrap_err());
            assert!(error.contains(want), "{yaml}: {error}");
        }
    }
}
