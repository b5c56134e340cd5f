// A peer of pion/webrtc, by the contract of README.md: its TURN client is pion/turn.
//
// Built by `cargo xtask tools` from Debian's packages of both.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	// Debian keeps version 3 at the path of version 1.
	"github.com/pion/webrtc"
)

// A line of standard input or output: one member is there.
type line struct {
	Description *webrtc.SessionDescription `json:"description,omitempty"`
	Connected   bool                       `json:"connected,omitempty"`
	Received    *int64                     `json:"received,omitempty"`
	Closed      string                     `json:"closed,omitempty"`
}

// Callbacks of pion come on goroutines of their own; lines do not mix.
var writing sync.Mutex

func report(what line) {
	text, err := json.Marshal(what)
	check(err)
	writing.Lock()
	defer writing.Unlock()
	fmt.Println(string(text))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Speaks and listens on the data channel from when it opens.
func use(channel *webrtc.DataChannel) {
	var received int64
	channel.OnMessage(func(webrtc.DataChannelMessage) {
		atomic.AddInt64(&received, 1)
	})
	channel.OnClose(func() {
		report(line{Closed: "the data channel closed"})
	})
	channel.OnOpen(func() {
		report(line{Connected: true})
		go func() {
			for range time.Tick(time.Second) {
				count := atomic.LoadInt64(&received)
				report(line{Received: &count})
			}
		}()
		for number := 0; channel.SendText(strconv.Itoa(number)) == nil; number++ {
			time.Sleep(200 * time.Millisecond)
		}
	})
}

// Reports a description once all candidates are in it.
func describe(connection *webrtc.PeerConnection, description webrtc.SessionDescription, err error) {
	check(err)
	gathered := webrtc.GatheringCompletePromise(connection)
	check(connection.SetLocalDescription(description))
	<-gathered
	report(line{Description: connection.LocalDescription()})
}

func main() {
	role := flag.String("role", "", "offer or answer")
	uri := flag.String("uri", "", "the TURN server")
	username := flag.String("username", "", "of the TURN server")
	password := flag.String("password", "", "of the TURN server")
	flag.Parse()

	connection, err := webrtc.NewPeerConnection(webrtc.Configuration{
		ICEServers: []webrtc.ICEServer{{
			URLs:       []string{*uri},
			Username:   *username,
			Credential: *password,
		}},
		ICETransportPolicy: webrtc.ICETransportPolicyRelay,
	})
	check(err)
	connection.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateFailed || state == webrtc.PeerConnectionStateClosed {
			report(line{Closed: "the connection is " + state.String()})
		}
	})

	if *role == "offer" {
		channel, err := connection.CreateDataChannel("numbers", nil)
		check(err)
		use(channel)
		offer, err := connection.CreateOffer(nil)
		describe(connection, offer, err)
	} else {
		connection.OnDataChannel(use)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var heard line
		check(json.Unmarshal(lines.Bytes(), &heard))
		check(connection.SetRemoteDescription(*heard.Description))
		if *role == "answer" {
			answer, err := connection.CreateAnswer(nil)
			describe(connection, answer, err)
		}
	}
	// The end of the input ends the call, and with this the program; Close would wait for a server that may be gone.
}
