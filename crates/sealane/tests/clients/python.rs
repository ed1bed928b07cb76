//! The Python client: the script beside this file.

use crate::bed::can_run;
use crate::lab::Lab;
use crate::tools;

#[test]
fn the_python_client_does_not_notice() {
    let test = "the_python_client_does_not_notice";
    let Some(packages) = tools::find(test, "python").filter(|_| can_run(test)) else { return };
    let Some(_) = tools::of_this_machine(test, "python3", &["--version"]) else { return };
    let lab = Lab::up_again(test);
    lab.prepare("python", &[]);
    let ran = lab.shell(&format!("PYTHONPATH='{}' python3 client.py", packages.display()));
    assert_eq!(ran.code, Some(0), "{}", ran.out);
}
