import { memoryRecords, memoryStore, type RecordStore } from 'evertoken'
import { type Answer, type HostileServer, reset, startHostileServer } from './hostile-server.ts'

/** What is done to the places that processes share, as their server sees it: before it is done, and after. */
export type RecordStep = `${'before' | 'after'} ${string}`

/** Sessions and a store over HTTP, for processes of their own. */
export interface RecordServer extends AsyncDisposable {
  readonly origin: string
  /** Told of each step, which goes on when what is returned has come to its end; nothing is done where that is `false`. */
  reach: (step: RecordStep) => unknown
  readonly server: HostileServer
}

/** Starts one. Its programs are in `programs/shared-over-http.mjs`. */
export async function startRecordServer(): Promise<RecordServer> {
  const records = memoryRecords()
  const store = memoryStore()
  const act: Readonly<Record<string, (key: string, value: string, write: never) => unknown>> = {
    load: (key) => records.get(key),
    save: (key, value, write) => records.put(key, value, write),
    forget: (key) => records.delete(key),
    'store-look': (key) => store.get(key),
    'store-set': (key, value, write) => store.set(key, value, write),
    'store-forget': (key) => store.delete(key),
  }
  const server = await startHostileServer(async ({ url, body }): Promise<Answer> => {
    const { key, value, write } = JSON.parse(body)
    const name = url.slice(1)
    const step = name === 'store-set' ? kindOf(value) : name
    if ((await shared.reach(`before ${step}`)) === false) return reset
    const result = await act[name]?.(key, value, write as never)
    await shared.reach(`after ${step}`)
    return { body: JSON.stringify({ result }) }
  })
  const shared: RecordServer = {
    origin: server.origin,
    server,
    reach: () => {},
    [Symbol.asyncDispose]: () => server.close(),
  }
  return shared
}

/** Its sessions, for the process of the test. */
export function recordsOf({ origin }: RecordServer): RecordStore {
  const ask = async (name: string, members: object): Promise<unknown> => {
    const response = await fetch(`${origin}/${name}`, { method: 'POST', body: JSON.stringify(members) })
    return Object(await response.json()).result
  }
  return {
    get: (key) => ask('load', { key }) as Promise<string | undefined>,
    put: (key, value, write) => ask('save', { key, value, write }) as Promise<boolean>,
    delete: (key) => ask('forget', { key }) as Promise<void>,
  }
}

/** An intent says until when, the mark of an end an instant, and a successor is encrypted. */
function kindOf(value: string): string {
  if (value.startsWith('until ')) return 'intent'
  return /^\d+$/.test(value) ? 'end mark' : 'successor'
}
