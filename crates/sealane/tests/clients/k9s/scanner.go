// Package vul without its scanner of images: that one alone is most of what k9s compiles, and sends the API nothing.
package vul

import (
	"context"
	"log/slog"

	"github.com/derailed/k9s/internal/config"
)

// ImgScanner is never set.
var ImgScanner *imageScanner

type imageScanner struct{}

// Scan is what a scanner would have found.
type Scan struct {
	ID    string
	Table *table
	Tally tally
}

func NewImageScanner(config.ImageScans, *slog.Logger) *imageScanner { return &imageScanner{} }
func (*imageScanner) ShouldExcludes(string, map[string]string) bool { return true }
func (*imageScanner) GetScan(string) (*Scan, bool)                  { return nil, false }
func (*imageScanner) Init(string, string)                           {}
func (*imageScanner) Stop()                                         {}
func (*imageScanner) Score(...string) string                        { return "" }
func (*imageScanner) IsInitialized() bool                           { return false }
func (*imageScanner) Enqueue(context.Context, ...string)            {}
func colorize(row []string) []string                                { return row }
