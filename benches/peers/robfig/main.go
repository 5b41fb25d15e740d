// No-op jobs that are due in the same second: how late each starts, in robfig/cron 3.
package main

import (
	"encoding/json"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

const every = 10

func main() {
	jobs, _ := strconv.Atoi(os.Args[1])
	fires, _ := strconv.Atoi(os.Args[2])
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	var lock sync.Mutex
	stamps := make([]time.Time, 0, jobs*(fires+1))
	scheduler := cron.New(cron.WithSeconds(), cron.WithLocation(berlin))
	for i := 0; i < jobs; i++ {
		_, err := scheduler.AddFunc("*/10 * * * * *", func() {
			now := time.Now()
			lock.Lock()
			stamps = append(stamps, now)
			lock.Unlock()
		})
		if err != nil {
			panic(err)
		}
	}
	first := time.Unix((time.Now().Unix()/every+1)*every, 0)
	scheduler.Start()
	late := make([][]float64, fires)
	for fire := range late {
		due := first.Add(time.Duration(fire*every) * time.Second)
		time.Sleep(time.Until(due.Add(5 * time.Second)))
		lock.Lock()
		for _, stamp := range stamps {
			if after := stamp.Sub(due); after >= 0 && after < every*time.Second {
				late[fire] = append(late[fire], float64(after.Microseconds())/1000)
			}
		}
		lock.Unlock()
	}
	json.NewEncoder(os.Stdout).Encode(map[string]interface{}{"fires": late})
}
