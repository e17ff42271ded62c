package render

import (
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// An episode says how it ended, what it cost, what was tried, and what was lost.
func TestAppendWatch_Episodes(t *testing.T) {
	const ms = event.Time(time.Millisecond)
	rto := func(timeouts ...uint32) (chain []conn.Link) {
		for _, ms := range timeouts {
			chain = append(chain, conn.Link{Class: conn.ClassRTO, Segments: 1, RTOms: ms})
		}
		return chain
	}
	probe := conn.Link{Class: conn.ClassTLP, Segments: 1, RTOms: 204}
	o := Options{}
	for _, tc := range []struct {
		episode conn.LossEpisode
		want    string
	}{
		{conn.LossEpisode{End: 400 * ms, EndKnown: true, Waited: time.Second, Segments: 4, Outcome: conn.OutcomeRecovered, Lost: conn.LostData, Chain: append([]conn.Link{probe}, rto(200, 400)...)},
			"loss repaired, 4 resent        1.40s tlp rto(200 400 ms): data lost"},
		{conn.LossEpisode{Segments: 9, Outcome: conn.OutcomeRecovered, Lost: conn.LostBoth, Last: 5 * ms, End: 5 * ms, Chain: []conn.Link{{Class: conn.ClassFast, Segments: 9}}},
			"loss repaired, 9 resent      >=5.00ms fast*9: data and ACKs lost"},
		{conn.LossEpisode{Segments: 1, Outcome: conn.OutcomeRecovered, Lost: conn.LostACKs, End: 30 * ms, EndKnown: true, Chain: []conn.Link{probe}},
			"loss repaired, 1 resent       30.0ms tlp: ACKs lost or late, none was needed"},
		{conn.LossEpisode{Segments: 40, Outcome: conn.OutcomeFailed, End: 9000 * ms, EndKnown: true, Chain: append(rto(200), probe), ChainCut: 38},
			"loss never repaired, 40 resent    9.00s rto(200 ms) tlp ..."},
		{conn.LossEpisode{Segments: 1, Outcome: conn.OutcomeOpen, Waited: 200 * time.Millisecond, Chain: rto(200)},
			"loss not over, 1 resent     >=1.20s rto(200 ms)"},
		{conn.LossEpisode{Segments: 1, End: ms, Chain: rto(0)}, "loss, 1 resent             >=1.00ms rto"},
	} {
		c := conn.Change{Kind: conn.Episode, Time: 1000 * ms, Conn: &conn.Connection{}, Episode: &tc.episode}
		_, got, _ := strings.Cut(string(o.AppendWatch(nil, &c)), " loss")
		if want, got := strings.Fields(tc.want), strings.Fields("loss"+got); strings.Join(want, " ") != strings.Join(got, " ") {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// What stands for many says how many.
func TestAppendWatch_Suppressed(t *testing.T) {
	var classes [conn.NumClasses]uint32
	classes[conn.ClassRTO], classes[conn.ClassFast] = 7, 2
	more := &event.Event{Kind: event.RetransmitMore, Old: tcp.Established, Suppressed: event.Suppressed{ByClass: classes}}
	o := Options{}
	for _, tc := range []struct {
		change conn.Change
		want   string
	}{
		{conn.Change{Kind: conn.Retransmitted, Conn: &conn.Connection{}, Event: more, Class: conn.ClassRTO, Segments: 7}, "7 more, retransmit rto in ESTABLISHED"},
		{conn.Change{Kind: conn.Crowd, Event: more, Segments: 9}, "9 more, retransmit rto*7 fast*2"},
		{conn.Change{Kind: conn.Crowd, Event: &event.Event{Kind: event.ResetMore, Count: 300, Reason: "NO_SOCKET"}}, "300 more, RST sent (NO_SOCKET)"},
	} {
		if got := strings.TrimSpace(string(o.AppendWatch(nil, &tc.change))); !strings.HasSuffix(got, tc.want) {
			t.Errorf("got  %q\nwant %q", got, tc.want)
		}
	}
}
