// An owner in Haxe throws a user out with the command that only a Crosspoint hub knows (docs/peote.md, section
// 3.6). The ten lines of `throwOut` are what a program with peote-net adds; all else here is what the library does.
//
//   haxe --cwd interop --main ThrowOut --neko throw_out.n && neko throw_out.n HOST PORT
import haxe.io.Bytes;
import sys.net.Host;
import sys.net.Socket;

class ThrowOut {
	/// Throws user `user` out of the joint `own`, and keeps its address out for so many minutes (255: as long as the
	/// joint exists).
	static function throwOut(socket:Socket, own:Int, user:Int, minutes:Int = 0) {
		var command = Bytes.alloc(7);
		command.set(0, 0); // control
		command.set(1, 4); // throw out
		command.set(2, 0); // there is no reply
		command.set(3, 3); // bytes that follow
		command.set(4, own);
		command.set(5, user);
		command.set(6, minutes);
		socket.output.writeFullBytes(command, 0, 7);
	}

	static function connect():Socket {
		var socket = new Socket();
		socket.connect(new Host(Sys.args()[0]), Std.parseInt(Sys.args()[1]));
		return socket;
	}

	static function ask(socket:Socket, command:Int, name:String) {
		socket.output.writeString(String.fromCharCode(0) + String.fromCharCode(command));
		socket.output.writeByte(1);
		socket.output.writeByte(name.length);
		socket.output.writeString(name);
	}

	static function expect(socket:Socket, bytes:Array<Int>) {
		for (byte in bytes) {
			var read = socket.input.readByte();
			if (read != byte)
				throw 'read $read, expected $byte of $bytes';
		}
	}

	static function main() {
		var owner = connect();
		ask(owner, 0, "joint");
		expect(owner, [0, 3, 1, 0, 0]);
		var member = connect();
		ask(member, 1, "joint");
		expect(member, [0, 3, 1, 0, 0]);
		expect(owner, [0, 4, 0, 0, 0, 0]);
		throwOut(owner, 0, 0);
		expect(member, [0, 4, 0, 2, 0, 2]);
		expect(owner, [0, 5, 0, 1, 0, 0, 2]);
		ask(member, 1, "joint");
		expect(member, [0, 3, 1, 0, 0]);
		expect(owner, [0, 4, 0, 0, 0, 0]);
		throwOut(owner, 0, 0, 1);
		expect(member, [0, 4, 0, 2, 0, 2]);
		ask(member, 1, "joint");
		expect(member, [0, 3, 1, 1, 9]);
		Sys.println("ok");
	}
}
