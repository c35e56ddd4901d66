package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/cli/demo"
	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/digits"
)

const (
	// mostDemoRate is far more than one wants to look at.
	mostDemoRate = 1000
	// demoRetry is for how long the demo tries a call again, as when the service is
	// being started.
	demoRetry = 10 * time.Second
)

func demoCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "demo", Short: "Show the service at work: three tenants with messages, and endpoints that fail",
		Long: "Make three tenants, publish to them, and receive what is delivered: at endpoints that do\n" +
			"well, one that fails now and then, one that is slow, and one that refuses some messages for\n" +
			"good, which become dead letters. Until Ctrl-C, which deletes the tenants again; what a demo\n" +
			"left that was killed, the next one deletes.\n\n" +
			"It receives at 127.0.0.1, so it runs on the machine of the service, and the service has to\n" +
			"deliver there: it does with private servers in open mode, as make run starts it, or with\n" +
			"delivery.allow_private. Callers are found by --key; it has to be one that makes tenants.",
		Example: "lanekeeper demo\nlanekeeper demo --rate 200 --duration 10m",
	}
	conn := connect(c)
	rate := c.Flags().Int("rate", 20, fmt.Sprintf("`messages` a second to all tenants together, 1 to %d", mostDemoRate))
	duration := c.Flags().Duration("duration", 0, "for how `long`, such as 10m; 0s for until Ctrl-C")
	line := terminal.NewLine(a.Err)
	conn.retryFor = demoRetry
	conn.tellAttempts(line.Note)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		if *rate < 1 || *rate > mostDemoRate {
			return wrongUse(c, "--rate must be between 1 and %d", mostDemoRate)
		}
		if *duration < 0 {
			return wrongUse(c, "--duration must not be below 0")
		}
		seen, err := demo.Run(ctx, demo.Options{
			Client: cl, Rate: float64(*rate), Duration: *duration,
			Begun: func(tenants []demo.Tenant) { describeDemo(a, cl.URL(), tenants) },
			Show:  func(s demo.Status) { line.Set(func(int) string { return demoLine(&s) }) },
			Note:  func(err error) { line.Note("%v", reason(err)) },
		})
		line.End()
		if seen.Elapsed > 0 {
			fmt.Fprintln(a.Out, demoLine(&seen))
		}
		if err == nil {
			fmt.Fprintln(a.Out, "The tenants of the demo are deleted.")
		}
		return err
	})
}

// describeDemo says what there is to be seen, and where.
func describeDemo(a *app, url string, tenants []demo.Tenant) {
	fmt.Fprintf(a.Out, "A demo of three tenants, until Ctrl-C, which deletes them. Look at it:\n  %s/console/\n\n", url)
	for _, t := range tenants {
		fmt.Fprintf(a.Out, "  %-15s %s\n  %-15s %.4g messages a second; %s\n", t.Name, t.ID, "", t.Rate, t.About)
	}
	fmt.Fprintln(a.Out)
}

// demoLine is how far the demo is, in a line.
func demoLine(s *demo.Status) string {
	text := fmt.Sprintf("%v  published %s  stored %s  delivered %s  failed %s  dead letters %s  lag %s", s.Elapsed.Round(time.Second),
		digits.Grouped(s.Published), digits.Grouped(s.Stored), digits.Grouped(s.Delivered), digits.Grouped(s.Failed), digits.Grouped(s.DeadLetters), digits.Grouped(s.Lag))
	if s.OpenBreakers > 0 {
		text += fmt.Sprintf("  breakers open %d", s.OpenBreakers)
	}
	if s.NotPublished > 0 {
		text += "  not published " + digits.Grouped(s.NotPublished)
	}
	return text
}
