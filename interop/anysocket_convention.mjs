// What the AnySocket programs of the tests agree on, besides AnySocket itself.
//
// Authentication: the client's `auth` value is the text in the environment variable ANYSOCKET_AUTH
// ("open sesame" if there is none). A server accepts this value and no other. Clients accept any
// server.
//
// Messages to a server. A server answers everything that is not one of these orders with the very
// value that it got. V is any JSON value.
//
//   order                              the server ...                               its answer
//   {"do":"send","value":V}            sends V to the asker as a message            {"ok":true}
//   {"do":"ask","value":V}             sends V to the asker as a request            {"answer":W}, W being
//                                                                                   the asker's answer
//   {"do":"call","method":[NAME,...],  calls a method of the asker; `bin` lists     {"result":V,"bin":B} as
//    "params":[V,...],"bin":[I,...]}   the numbers of those params that are binary  in AnySocket itself, or
//                                      (base64 here, binary in the call)            {"error":E}, E being the
//                                                                                   whole error object
//   {"do":"time"}                      asks for the asker's time                    {"time","rtt","offset"}: ms
//   {"do":"switch"}                    starts end-to-end encryption with the asker  {"ok":true}, in clear,
//                                                                                   before it starts
//   {"do":"hold","value":V}            keeps the request back                       V, once released
//   {"do":"release"}                   answers what the asker has on hold, the      {"released":NUMBER},
//                                      last first                                   after all others
//   {"do":"silence"}                   does nothing                                 none
//   {"do":"broadcast","value":V}       sends V as a message to each other client    none
//                                      (at least to those that have said something)
//   {"do":"disconnect"}                disconnects the asker                        none
//
// Proxying is allowed between all clients. Servers and clients offer the methods below. With a
// method's arguments comes the calling peer, as the last one.

export const ACCEPTED = process.env.ANYSOCKET_AUTH ?? 'open sesame';

// Carries out the order {"do":"call"}: calls a method of `peer` and returns the answer.
export async function callOf(peer, { method, params = [], bin = [] }) {
  const values = params.map((value, index) => (bin.includes(index) ? Buffer.from(value, 'base64') : value));
  const call = method.reduce((rpc, name) => rpc[name], peer.rpc);
  try {
    const result = await call(...values);
    return Buffer.isBuffer(result) ? { result: result.toString('base64'), bin: true } : { result, bin: false };
  } catch (error) {
    return { error };
  }
}

export const methods = {
  // Text in, text out.
  hello: (name) => `Hello ${name}`,
  // Any value or bytes; comes back as it is.
  same: (value) => value,
  // No result.
  nothing: () => undefined,
  ns: {
    deep: {
      // The caller's id.
      who: (peer) => peer.id,
    },
    // The sum of any count of numbers.
    sum: (...numbers) => numbers.slice(0, -1).reduce((sum, number) => sum + number, 0),
  },
  bytes: {
    // Two byte strings in, one out.
    join: (first, second) => Buffer.concat([first, second]),
    // The sum of all bytes, as a number.
    sum: (bytes) => bytes.reduce((sum, byte) => sum + byte, 0),
  },
  fail: {
    // Code 500, error "thrown on purpose".
    thrown: () => {
      throw new Error('thrown on purpose');
    },
    // Code 500, error "rejected on purpose".
    rejected: () => Promise.reject('rejected on purpose'),
  },
};
