// A Haxe program in a room of a Crosspoint hub, as a user of peote-net in chunk mode: it prints what it hears, and
// when it has heard enough it says hello and leaves. All that is here is what the library does.
//
//   haxe --cwd interop --main RoomMember --neko room_member.n && neko room_member.n HOST PORT ROOM COUNT
import sys.net.Host;
import sys.net.Socket;

class RoomMember {
	static var socket = new Socket();
	static var chunks = new haxe.io.BytesBuffer();

	/// The chunks that have come and are whole. The lengths of these short texts are one byte.
	static function heard():Array<String> {
		var bytes = chunks.getBytes();
		var texts = [];
		var at = 0;
		while (at < bytes.length && at + bytes.get(at) + 1 < bytes.length) {
			var length = bytes.get(at) + 1;
			texts.push(bytes.getString(at + 1, length));
			at += 1 + length;
		}
		chunks = new haxe.io.BytesBuffer();
		chunks.add(bytes.sub(at, bytes.length - at));
		return texts;
	}

	/// One frame: control or data of the joint with the number 0.
	static function receive() {
		var size = socket.input.readByte();
		if (size == 0)
			throw "the hub has ended the membership";
		var joint = socket.input.readByte();
		if (joint != 0)
			throw 'a frame for $joint';
		chunks.add(socket.input.read(size - 1));
	}

	static function say(text:String) {
		socket.output.writeByte(text.length + 2);
		socket.output.writeByte(0);
		socket.output.writeByte(text.length - 1);
		socket.output.writeString(text);
	}

	static function main() {
		var args = Sys.args();
		socket.connect(new Host(args[0]), Std.parseInt(args[1]));
		socket.output.writeString(String.fromCharCode(0) + String.fromCharCode(1));
		socket.output.writeByte(1);
		socket.output.writeByte(args[2].length);
		socket.output.writeString(args[2]);
		for (byte in [0, 3, 1, 0, 0])
			if (socket.input.readByte() != byte)
				throw "the hub has not let this program in";
		Sys.println("entered");
		var count = 0;
		while (count < Std.parseInt(args[3])) {
			receive();
			for (text in heard()) {
				Sys.println(text);
				count += 1;
			}
		}
		say("hello from Haxe");
		socket.close();
	}
}
