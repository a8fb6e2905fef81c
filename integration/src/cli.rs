//! The command line of `cargo lab`.
//!
//! ```text
//! demo                  build -> lab in this process -> the tour -> end (or serve on, with --keep)
//! up                    build -> supervise in the background, its steps copied to this terminal
//! down, status, ...     one request to the supervisor's socket
//! exec, shell           ask where, enter the namespaces, become the program
//! hold, serve, ask ...  hidden: the lab's own processes
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on stdout and stderr"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::kubeadm::{self, ProxyMode};
use crate::lab::topology::{ApiKind, RouterKind, Shape};
use crate::lab::{directory, hold};
use crate::probe::{Protocol, TIMEOUT_MILLIS, client, server, traffic};

mod demo;
mod enter;
mod inspect;
mod supervise;
mod tour;

/// Whole routed clusters on this machine: nodes, routers and pods in network namespaces.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the main job: two racks, four nodes, pods, policy, a failing router. Under 30 seconds.
    Demo(demo::Demo),
    /// Starts a lab in the background.
    Up {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        shape: ShapeArguments,
        /// Take the programs as they were built last.
        #[arg(long)]
        no_build: bool,
    },
    /// Ends a lab.
    Down(Name),
    /// Shows what runs in a lab.
    Status(Name),
    /// Prints the path of a lab's kubeconfig file.
    Kubeconfig(Name),
    /// Runs a command in a pod's network: exec [NAMESPACE/]POD -- CMD.
    Exec {
        #[command(flatten)]
        name: Name,
        /// The pod, as namespace/name; the namespace is `default` where none is given.
        pod: String,
        /// The command with its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Opens a shell on a node.
    Shell {
        #[command(flatten)]
        name: Name,
        /// The node.
        node: String,
    },
    /// Sends a real packet and prints one line of JSON: allowed or not, and how long it took.
    Probe {
        #[command(flatten)]
        name: Name,
        /// namespace/pod, node:NAME, or external:NAME.
        from: String,
        /// namespace/pod, node:NAME, external:NAME, or an address.
        to: String,
        /// The port that is asked.
        port: u16,
        /// The transport.
        #[arg(long, value_enum, default_value_t = Protocol::Tcp)]
        protocol: Protocol,
        /// The family; the first address of TO when not given.
        #[arg(long, value_enum)]
        family: Option<FamilyArgument>,
        /// How long to wait for an answer, in milliseconds.
        #[arg(long, default_value_t = TIMEOUT_MILLIS)]
        timeout_millis: u64,
    },
    /// Builds the container image of the manifests, without a registry: one file that containerd imports.
    Image(crate::image::Options),
    /// Installs what the tests need and runs every check and every test.
    Test,
    /// Breaks named places of the product, one at a time: every one must make a test fail.
    Mutants(crate::mutants::Options),
    /// Repeats a test with other seeds, for as long as one likes.
    Soak(crate::soak::Options),
    /// Measures: CNI ADD beside the reference plugins, label to kernel, memory.
    Bench(crate::bench::Bench),
    /// Calls CNI plugins and takes the time.
    #[command(hide = true)]
    BenchRuntime(crate::bench::runtime::Runtime),
    /// Owns a lab.
    #[command(hide = true)]
    Supervise {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        shape: ShapeArguments,
    },
    /// Holds the namespaces of a space.
    #[command(hide = true)]
    Hold(hold::Hold),
    /// Answers questions.
    #[command(hide = true)]
    Serve(server::Serve),
    /// Asks the questions that stdin holds.
    #[command(hide = true)]
    Ask,
    /// Asks for a name as every program does, and prints its addresses.
    #[command(hide = true)]
    Lookup {
        /// The name.
        name: String,
    },
    /// Sends traffic and counts.
    #[command(hide = true)]
    Traffic(traffic::Traffic),
    /// Is a machine of a kubeadm cluster.
    #[command(hide = true)]
    Machine(kubeadm::machine::Machine),
    /// Keeps the namespaces of a pod.
    #[command(hide = true)]
    Pause,
    /// Removes a directory once stdin ends.
    #[command(hide = true)]
    Sweep {
        /// What to remove.
        path: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
struct Name {
    /// The lab's name; labs of different names run side by side.
    #[arg(long, default_value = "lab")]
    name: String,
}

#[derive(Clone, Debug, Args)]
struct ShapeArguments {
    /// Nodes in all racks together.
    #[arg(long, default_value_t = 4)]
    nodes: u8,
    /// Racks; with --mesh one.
    #[arg(long, default_value_t = 2, default_value_if("mesh", "true", "1"))]
    racks: u8,
    /// Routers at the top of each rack.
    #[arg(long, default_value_t = 2)]
    tors: u8,
    /// The program in the routers.
    #[arg(long, value_enum, default_value_t = RouterArgument::Own)]
    router: RouterArgument,
    /// Where Kubernetes objects live.
    #[arg(long, value_enum, default_value_t = ApiArgument::Embedded)]
    api: ApiArgument,
    /// Nodes peer with each other in one AS, not with the routers.
    #[arg(long)]
    mesh: bool,
    /// A real cluster instead: kubeadm, kubelet, containerd, kube-proxy and CoreDNS on every node. Needs root.
    #[arg(long, conflicts_with_all = ["mesh", "api"])]
    kubeadm: bool,
    /// How kube-proxy carries out Services, with --kubeadm.
    #[arg(long, value_enum, default_value_t = ProxyMode::Nftables, requires = "kubeadm")]
    proxy: ProxyMode,
    /// Hold time of all BGP sessions, in seconds.
    #[arg(long, default_value_t = 9)]
    hold_time_secs: u16,
    /// BFD between routers and nodes, with this interval in milliseconds.
    #[arg(long, value_name = "MILLIS", value_parser = clap::value_parser!(u16).range(10..))]
    bfd: Option<u16>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RouterArgument {
    /// Our own tortie-bgp.
    Own,
    /// BIRD 2, which must be installed.
    Bird,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ApiArgument {
    /// The API server in the lab's own process.
    Embedded,
    /// A real kube-apiserver with etcd, built from their Go modules if need be.
    Etcd,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FamilyArgument {
    /// IPv4.
    #[value(name = "4")]
    Ipv4,
    /// IPv6.
    #[value(name = "6")]
    Ipv6,
}

impl ShapeArguments {
    fn shape(&self) -> Shape {
        let router = match self.router {
            RouterArgument::Own => RouterKind::Own,
            RouterArgument::Bird => RouterKind::Bird,
        };
        Shape {
            racks: self.racks,
            nodes: self.nodes,
            tors_per_rack: self.tors,
            router,
            mesh: self.mesh,
            hold_time_secs: self.hold_time_secs,
            bfd_interval_millis: self.bfd,
            api: match self.api {
                ApiArgument::Embedded => ApiKind::Embedded,
                ApiArgument::Etcd => ApiKind::Etcd,
            },
        }
    }
}

/// Parses the arguments, does what they say, and reports failure in one line.
pub fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments)?,
        Command::Up { name, shape, no_build } => supervise::up(&name.name, &shape, !no_build)?,
        Command::Supervise { name, shape } => supervise::supervise(&name.name, &shape)?,
        Command::Down(name) => inspect::down(&name.name)?,
        Command::Status(name) => inspect::status(&name.name)?,
        Command::Kubeconfig(name) => inspect::kubeconfig(&name.name)?,
        Command::Exec { name, pod, command } => enter::exec(&name.name, &pod, &command)?,
        Command::Shell { name, node } => enter::shell(&name.name, &node)?,
        Command::Probe { name, from, to, port, protocol, family, timeout_millis } => {
            let family = family.map(inspect::family);
            inspect::probe(&name.name, from, to, port, protocol, family, timeout_millis)?;
        }
        Command::Image(options) => crate::image::run(&options)?,
        Command::Test => crate::gate::run()?,
        Command::Mutants(options) => crate::mutants::run(&options)?,
        Command::Soak(options) => crate::soak::run(&options)?,
        Command::Bench(arguments) => crate::bench::run(&arguments)?,
        Command::BenchRuntime(arguments) => crate::bench::runtime::run(&arguments)?,
        Command::Hold(arguments) => hold::hold(&arguments)?,
        Command::Machine(arguments) => kubeadm::machine::run(&arguments)?,
        Command::Pause => kubeadm::pause::run()?,
        Command::Sweep { path } => directory::sweep(&path)?,
        Command::Serve(arguments) => leaf_runtime()?.block_on(server::serve(arguments))?,
        Command::Lookup { name } => inspect::lookup(&name)?,
        Command::Ask => leaf_runtime()?.block_on(client::run())?,
        Command::Traffic(arguments) => leaf_runtime()?.block_on(traffic::run(arguments))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The runtime of the many small processes: one thread.
fn leaf_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
