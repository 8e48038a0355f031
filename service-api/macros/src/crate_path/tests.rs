use super::*;

fn packages(manifest: &str) -> Vec<(String, String)> {
    dependencies(manifest).into_iter().map(|it| (it.name, it.package)).collect()
}

fn pair(name: &str, package: &str) -> (String, String) {
    (name.to_owned(), package.to_owned())
}

#[test]
fn every_way_to_write_a_dependency_is_read() {
    let manifest = r#"
        [package]
        name = "x" # towline-service-api = "1"
        [dependencies]
        plain = "1"
        inherited.workspace = true
        table = { version = "1", package = "renamed" } # package = "no"
        # commented = "1"
        [dev-dependencies.apart]
        package = "other"
        version = "1"
        [target.'cfg(unix)'.dependencies]
        unix = { path = "../unix" }
        [features]
        feature = ["plain"]
        [workspace.dependencies]
        unrelated = "1"
    "#;
    let expected = [
        pair("plain", "plain"),
        pair("inherited", "inherited"),
        pair("table", "renamed"),
        pair("apart", "other"),
        pair("unix", "unix"),
    ];
    assert_eq!(packages(manifest), expected);
}
