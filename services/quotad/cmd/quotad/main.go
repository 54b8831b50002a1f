// Command quotad limits the directories of persistent volumes on the bricks of a Gluster node with XFS project quota.
package main

import (
	"os"

	"github.com/weir-dev/weir/pkg/app"
	quotad "github.com/weir-dev/weir/services/quotad/internal/app"
)

func main() { os.Exit(app.Main(quotad.Command())) }
