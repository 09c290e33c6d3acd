//! throwaway
use crate::{
    plugins::Runtime,
    supervisor::{ProcessSpec, Supervisor},
};
use perennial_sdk::{Cx, Plan, Result, Toolchain};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
/// x
pub struct Environments;
/// x
pub struct Prepared {
    /// x
    pub process: ProcessSpec,
    /// x
    pub lock: Option<String>,
}
impl Environments {
    /// x
    pub fn new(_: Arc<Supervisor>, _: PathBuf) -> Self {
        Self
    }
    /// x
    pub async fn prepare(
        &self,
        _: &Cx,
        _: &Runtime,
        t: &Toolchain,
        plan: &Plan,
        _: Option<&str>,
        server: &Path,
        state: &Path,
    ) -> Result<Prepared> {
        std::fs::create_dir_all(server)?;
        std::fs::create_dir_all(state)?;
        for f in &plan.files {
            std::fs::write(server.join(&f.path), &f.contents)?;
        }
        let x = |s: &str| {
            let mut s = s.replace("{server}", server.to_str().unwrap()).replace("{state}", state.to_str().unwrap());
            for (k, v) in &t.tools {
                s = s.replace(&format!("{{{k}}}"), v.path.to_str().unwrap());
            }
            s
        };
        Ok(Prepared {
            process: ProcessSpec {
                label: "x".into(),
                program: x(&plan.run.program).into(),
                args: plan.run.args.iter().map(|a| x(a)).collect(),
                env: plan.run.env.iter().map(|(k, v)| (k.clone(), x(v))).collect(),
                cwd: state.into(),
            },
            lock: None,
        })
    }
}
