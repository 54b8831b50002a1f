//go:build !linux

package main

import "context"

// records is empty: pods as processes need Linux.
type records struct{}

func initPods() {}

func (*records) close() {}

func (*demo) buildRecords(context.Context) error { return nil }

func (*demo) prepareRecords(context.Context) {}

func (d *demo) moveRecords(context.Context) error {
	d.explain("Skipped, connect-runner is only simulated: pods as processes need Linux.")
	return nil
}
