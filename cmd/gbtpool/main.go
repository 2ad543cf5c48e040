// Command gbtpool is a mining-pool gateway for miners who build their own blocks.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/gbtpool/gbtpool/internal/config"
	"github.com/gbtpool/gbtpool/internal/redisstore"
)

// cli is the command line: one field per subcommand, one file per field.
type cli struct {
	Demo        demoCmd          `cmd:"" help:"Run a whole pool in this process: a chain, the gateway and miners. Nothing to install or configure."`
	Serve       serveCmd         `cmd:"" help:"Serve miners from full nodes."`
	Check       checkCmd         `cmd:"" help:"Check what serve needs, once; exit 0 if all is well."`
	Healthcheck healthcheckCmd   `cmd:"" help:"Ask a running gateway how it is; exit 0 if well."`
	Ledger      ledgerCmd        `cmd:"" help:"Make, audit and read the share ledger."`
	Payouts     payoutsCmd       `cmd:"" help:"Show, plan, sign and send what miners are owed."`
	Token       tokenCmd         `cmd:"" help:"Make, inspect and revoke the tokens that let people in, and rotate their keys."`
	Verify      verifyCmd        `cmd:"" help:"Check the proof that a block counts an account, and leaves nothing out of the sum."`
	Mine        mineCmd          `cmd:"" help:"Mine on this computer's processor, through getblocktemplate."`
	Version     kong.VersionFlag `help:"Print the version and exit."`
}

// errSilent ends the program with exit code 1 after a command has said why itself.
var errSilent = errors.New("failed")

func main() {
	os.Exit(run(os.Args[1:]))
}

// run parses the command line, runs the command and returns the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	redisstore.Quiet()

	var c cli
	parser, err := kong.New(&c,
		kong.Name("gbtpool"),
		kong.Description("A mining-pool gateway for miners who build their own blocks: getblocktemplate (BIP 22, 23, 9, 145) with long polling."),
		kong.Configuration(config.Load),
		kong.DefaultEnvars(config.EnvPrefix),
		kong.Vars{"version": version()},
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gbtpool:", err)
		return 1
	}
	command, err := parser.Parse(args)
	parser.FatalIfErrorf(err)
	switch err := command.Run(newScreen(os.Stdout), errScreen{newScreen(os.Stderr)}); {
	case errors.Is(err, errSilent):
		return 1
	case err != nil:
		fmt.Fprintln(os.Stderr, "gbtpool:", err)
		return 1
	}
	return 0
}

// version describes the build: the module's version or the commit, the platform and Go.
func version() string {
	v := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v = info.Main.Version
	}
	return fmt.Sprintf("gbtpool %s (%s/%s, %s)", v, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
