package recording

// A column holds one field of the rows that have it, in their order: varints as
// in encoding/binary, signed ones in zigzag, unless it says otherwise. The
// numbers are part of the format: none is ever given another meaning.
type column uint16

const (
	colStrings    column = iota // of the block: length, bytes
	colShapes                   // the block's shapes: see shape
	colRows                     // a row each: its shape, 0 for the next new one, else 1 + its number
	colTime0                    // of the zigzagged nanoseconds since the row before: bits 0 to 7, a byte each
	colTime1                    // bits 8 to 15, a byte each
	colTime2                    // the rest
	colSocket                   // the socket that the row is of, counted back from the last new one
	colNetNS                    // of a new socket
	colCookie                   // signed, from the new socket's before
	colAddress                  // 0 for the next new one, else 1 + its number in the block
	colNewAddress               // 0, 4 or 16 for its bytes, which follow; 17: 16 bytes and a zone, a string
	colLocalPort                // signed, from the one given before
	colRemotePort               // the same
	colPort                     // the same, of ports that are given without their address
	colTask                     // 0 for the next new one, else 1 + its number in the block

	colTaskPID // of a new task, and so on
	colTaskUID
	colTaskCgroup // signed, from the new task's before
	colTaskComm   // a string
	colTaskLabel  // 0 for none, 1 for the next new one, else 2 + its number in the block
	colLabel      // of a new label: seven strings

	colErr
	colCount
	colReason // a string
	colFrom   // signed, from the row's time back
	colLeft   // signed

	colSeq
	colBytes
	colSegments
	colRTO
	colSRTT
	colCwnd
	colCAState
	colPending
	colRetransmits
	colSacked
	colTCPFlags
	colUnsent
	colTotal
	colDSACKs
	colOldCAState
	colUndoRetrans
	colRetransmissionFlags

	colResetFlags
	colShutdown
	colUnread
	colUnacked
	colProbes
	colTimeouts
	colAnsweredBytes
	colAnsweredFlags

	colWhere // a string
	colPacketSeq
	colPacketBytes
	colPacketFlags
	colOutgoing

	colQueueSYN
	colQueueLength
	colQueueLimit

	colSuppressed // nine, by class
	colSuppressedProbes
	colSuppressedTimeouts

	colBytesSent
	colBytesAcked
	colBytesReceived
	colSegsOut
	colSegsIn
	colCounterSRTT

	colLossKind // a string
	colLossCount
	colLossFrom // signed, from the row's time back

	colTick     // signed, from the tick before, in milliseconds
	colTickRest // signed, nanoseconds

	colInfo      // length, JSON
	colNetNSName // a string
	colSysctls   // how many, then two strings each

	colStarted // of a process

	colSocketInode // signed, from the one before
	colSocketRecvQ
	colSocketSendQ
	colSocketTimer // a string
	colSocketTimeLeft
	colSocketTimeouts
	colSocketDrops
	colSocketUID
	colSocketObject
	colSocketFlags
	colSocketFD
	colSocketMoreHolders
	colSocketHolders // how many
	colHolderFD      // of each

	colDescriptors // a process, how many it has, and of each the descriptor

	// Since version 1 was first used, added at the end:

	colLabelHost // of a new label, a string

	colISNs // bits: 1 and 2, ours and the peer's is known; 4, both are those of the socket's twin, swapped
	colISN  // each that is known and no twin's, four bytes

	colIdle // signed

	colCounters // length, JSON
	colDevices  // of a namespace: how many addresses, and of each an address and a string

	numColumns
)
