// Sessions and a store that processes share over HTTP, for programs of tests: the client of `record-server.ts`.
import { Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'

/** A record store and a token store at one origin. */
export function sharedOverHttp(origin) {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  const ask = (name, members) =>
    new Promise((resolve, reject) => {
      const sent = request(`${origin}/${name}`, { method: 'POST', agent }, (response) => {
        text(response).then((body) => resolve(JSON.parse(body).result), reject)
      })
      sent.on('error', reject).end(JSON.stringify(members))
    })
  return {
    records: {
      get: (key) => ask('load', { key }),
      put: (key, value, write) => ask('save', { key, value, write }),
      delete: (key) => ask('forget', { key }),
    },
    store: {
      get: (key) => ask('store-look', { key }),
      set: (key, value, write) => ask('store-set', { key, value, write }),
      delete: (key) => ask('store-forget', { key }),
    },
    close: () => agent.destroy(),
  }
}
