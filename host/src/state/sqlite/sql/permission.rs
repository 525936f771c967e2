//! What a statement of a service may do.
//!
//! Denied is what reaches beyond the service's own tables: other files, settings of the connection, code from files, the
//! host's tables, transactions (they are the host's to begin and end), and temporary tables, which would stay on the
//! connection for the next request. What a later SQLite may ask about is denied too.

use rusqlite::hooks::AuthAction;

use crate::state::HOST_PREFIX;

/// Pragmas that only tell about the service's own tables.
const PRAGMAS: &[&str] = &[
    "data_version",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "page_count",
    "page_size",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];
/// Those of them that take a name; for the others a value would be a setting.
const NAMING_PRAGMAS: &[&str] = &[
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];
/// Kinds of virtual tables that a service may make. All others reach beyond it, or are hard to trust with any content.
const MODULES: &[&str] = &["fts5", "fts5vocab", "rtree", "rtree_i32"];
/// Functions that load code, or whose time grows with the square of what they are given.
const FUNCTIONS: &[&str] = &["load_extension", "fts3_tokenizer", "json_patch", "jsonb_patch"];

/// Why a statement of a service may not do this.
pub(super) fn refusal(action: &AuthAction<'_>) -> Option<String> {
    let one_of = |list: &[&str], name: &str| list.iter().any(|known| known.eq_ignore_ascii_case(name));
    match *action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            Some("a service has one database: ATTACH, DETACH and VACUUM are not allowed".to_owned())
        }
        AuthAction::Pragma { pragma_name, pragma_value } => {
            let allowed = match pragma_value {
                None => one_of(PRAGMAS, pragma_name),
                Some(_) => one_of(NAMING_PRAGMAS, pragma_name),
            };
            if allowed {
                pragma_value.and_then(host_name)
            } else {
                Some(format!("PRAGMA {pragma_name} is not allowed"))
            }
        }
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            Some("BEGIN, COMMIT, ROLLBACK and SAVEPOINT are not statements here: use the transaction".to_owned())
        }
        AuthAction::Function { function_name } => {
            one_of(FUNCTIONS, function_name).then(|| format!("the function {function_name} is not allowed"))
        }
        AuthAction::CreateVtable { module_name, table_name } => {
            if one_of(MODULES, module_name) {
                host_name(table_name)
            } else {
                Some(format!("virtual tables of the kind {module_name} are not allowed"))
            }
        }
        AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::DropTempIndex { .. }
        | AuthAction::DropTempTable { .. }
        | AuthAction::DropTempTrigger { .. }
        | AuthAction::DropTempView { .. } => {
            Some("temporary tables, indexes, triggers and views are not allowed".to_owned())
        }
        AuthAction::CreateIndex { index_name: name, table_name }
        | AuthAction::DropIndex { index_name: name, table_name }
        | AuthAction::CreateTrigger { trigger_name: name, table_name }
        | AuthAction::DropTrigger { trigger_name: name, table_name } => {
            host_name(name).or_else(|| host_name(table_name))
        }
        AuthAction::Read { table_name: "dbstat", .. } => Some("the table dbstat is not allowed".to_owned()),
        AuthAction::CreateTable { table_name: name }
        | AuthAction::CreateView { view_name: name }
        | AuthAction::DropTable { table_name: name }
        | AuthAction::DropView { view_name: name }
        | AuthAction::DropVtable { table_name: name, .. }
        | AuthAction::AlterTable { table_name: name, .. }
        | AuthAction::Analyze { table_name: name }
        | AuthAction::Reindex { index_name: name }
        | AuthAction::Insert { table_name: name }
        | AuthAction::Delete { table_name: name }
        | AuthAction::Update { table_name: name, .. }
        | AuthAction::Read { table_name: name, .. } => host_name(name),
        AuthAction::Select | AuthAction::Recursive => None,
        // What a later SQLite may ask about.
        _ => Some("this statement is not allowed".to_owned()),
    }
}

/// A refusal if the name is one of the host's.
fn host_name(name: &str) -> Option<String> {
    let prefix = name.get(..HOST_PREFIX.len())?;
    prefix
        .eq_ignore_ascii_case(HOST_PREFIX)
        .then(|| format!("names that begin with {HOST_PREFIX} belong to the host: {} is not accessible", shown(name)))
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}
