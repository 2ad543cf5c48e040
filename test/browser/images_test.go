package browser

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/gbtpool/gbtpool/test/browser/fixtures"
)

// images makes the pictures of docs/images anew.
var images = flag.Bool("images", false, "write docs/images")

// maxImage is how large a picture may be, in bytes.
const maxImage = 200_000

// TestImages: the pictures that the documentation shows are small, and of pages that there are.
func TestImages(t *testing.T) {
	s := serve(t, fixtures.Busy())
	for _, img := range []struct {
		name, path string
		look       look
		height     float64
	}{
		{"dashboard", "/", look{1280, "light"}, 1130},
		{"account", "/accounts/" + fixtures.Miner, look{1280, "dark"}, 1130},
		{"template", "/template", look{1280, "light"}, 1000},
		{"phone", "/", look{360, "dark"}, 1500},
	} {
		b := open(t, img.look)
		b.do(chromedp.Navigate(s.url + img.path))
		b.await(`document.getElementById("live").dataset.state === "live" && [...document.querySelectorAll("[data-chart]")].every((e) => e.classList.contains("drawn"))`)
		beyond, quality := true, int64(82)
		got := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{
			Format: page.CaptureScreenshotFormatWebp, Quality: &quality, CaptureBeyondViewport: &beyond,
			Clip: &page.Viewport{Width: float64(img.look.width), Height: img.height, Scale: 1},
		})
		path := filepath.Join("..", "..", "docs", "images", img.name+".webp")
		if *images {
			if err := os.WriteFile(path, got.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		kept, err := os.Stat(path)
		if err != nil {
			t.Fatalf("%v: go test -run TestImages -images makes it", err)
		}
		if kept.Size() > maxImage {
			t.Errorf("%s has %d bytes, more than %d", path, kept.Size(), maxImage)
		}
	}
}
