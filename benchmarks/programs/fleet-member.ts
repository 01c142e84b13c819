import { createTokenManager, type TokenManagerOptions } from 'evertoken'
import { redisInvalidations, redisLock, redisStore } from 'evertoken/stores/redis'
import { clientAt } from '../loopback.ts'
import { connect } from '../redis-server.ts'

// Arguments: the token endpoint, the port of a Redis, or 0 for none, and the key that entries are encrypted with. Each message is the name of a
// round: a new manager is made, says so, and is asked for its token at the next message, by so many callers at once.
const [tokenEndpoint = '', port = '0', key = ''] = process.argv.slice(2)
const CALLERS = 10_000
const connections = port === '0' ? [] : await Promise.all([connect(Number(port)), connect(Number(port))])

function shared(prefix: string): Pick<TokenManagerOptions<never>, 'store' | 'lock' | 'invalidations'> {
  const [redis, listening] = connections
  if (redis === undefined || listening === undefined) return {}
  return {
    store: redisStore(redis, { encryption: { keys: [{ id: 'bench', key }] }, prefix }),
    lock: redisLock(redis, { prefix }),
    invalidations: redisInvalidations(redis, listening, { prefix }),
  }
}

let stampede: (() => Promise<void>) | undefined
let close: (() => Promise<void>) | undefined
process.on('message', async (round: string) => {
  if (stampede === undefined) {
    const manager = createTokenManager({ clients: { main: clientAt(tokenEndpoint) }, ...shared(`${round}:`) })
    close = manager.close
    stampede = async () => {
      const callers: Promise<unknown>[] = []
      for (let caller = 0; caller < CALLERS; caller++) callers.push(manager.getToken('main'))
      await Promise.all(callers)
    }
    process.send?.({ ports: connections.map(({ stream }) => stream.localPort) })
    return
  }
  const startedAt = performance.now()
  await stampede()
  process.send?.({ ms: performance.now() - startedAt })
  stampede = undefined
  await close?.()
})
process.send?.('started')
