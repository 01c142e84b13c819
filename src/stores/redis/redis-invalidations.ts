import { assertPrefix, DEFAULT_PREFIX, type Invalidations } from '../../store/index.ts'
import { assertMethods, assertOptions, optionInvalid } from '../../token/index.ts'
import { type Clock, describe, randomId, systemClock } from '../../util/index.ts'
import { commandsOf, isIoredis, type RedisClient } from './redis-client.ts'

/** What is needed of a client of the package `ioredis` that listens. */
export interface IoredisSubscriber {
  subscribe(channel: string): Promise<unknown>
  on(event: 'message', listener: (channel: string, message: string) => void): unknown
  off(event: 'message', listener: (channel: string, message: string) => void): unknown
}

/** What is needed of a client of the package `redis` that listens. */
export interface NodeRedisSubscriber {
  subscribe(channel: string, listener: (message: unknown) => void): Promise<unknown>
  unsubscribe(channel: string, listener: (message: unknown) => void): Promise<unknown>
}

/** A connection of its own, made and closed by the user, because one that listens does nothing else. */
export type RedisSubscriber = IoredisSubscriber | NodeRedisSubscriber

/** How a {@link redisInvalidations} behaves. */
export interface RedisInvalidationsOptions {
  /** What the channel's name begins with. Default `evertoken:`. */
  readonly prefix?: string | undefined
  readonly clock?: Clock | undefined
}

/** After a subscription that failed the next one is tried in so long a time. */
const RETRY_MS = 1000

/**
 * Tells the other processes over Redis what one has forgotten; what a process says itself it does not hear. After a
 * connection is lost the client subscribes anew by itself, and what was said in between is not heard.
 *
 * `publish` throws StoreError with code `store_unavailable`.
 *
 * @throws ConfigurationError with code `option_invalid` or `option_unknown`.
 */
export function redisInvalidations(
  client: RedisClient,
  subscriber: RedisSubscriber,
  options: RedisInvalidationsOptions = {},
): Invalidations {
  const given: unknown = options
  assertOptions('redisInvalidations', given, ['prefix', 'clock'])
  const { prefix = DEFAULT_PREFIX, clock = systemClock } = options
  assertPrefix('redisInvalidations', prefix)
  assertMethods('redisInvalidations', { option: 'clock', value: clock }, ['now', 'setTimer'])
  const send = commandsOf(client, 'redisInvalidations')
  const listener = listenerOf(subscriber)
  const channel = `${prefix}forget`
  const own = randomId()
  return {
    publish: async (key) => void (await send(['PUBLISH', channel, `${own} ${key}`])),
    subscribe(onKey) {
      const onMessage = (message: string): void => {
        const at = message.indexOf(' ')
        if (at !== -1 && message.slice(0, at) !== own) onKey(message.slice(at + 1))
      }
      return persist(() => listener.listen(channel, onMessage), clock)
    },
  }
}

type Stop = () => Promise<unknown>

/** Starts, again and again until it works; the returned function stops, whenever it has worked. */
function persist(start: () => Promise<Stop>, clock: Clock): () => void {
  let isWanted = true
  let cancel = (): void => {}
  let stop: Stop | undefined
  // A connection that is gone has ended the subscription with it.
  const end = (ending: Stop): void => void ending().catch(() => {})
  async function attempt(): Promise<void> {
    try {
      const started = await start()
      if (isWanted) stop = started
      else end(started)
    } catch {
      if (isWanted) cancel = clock.setTimer(() => void attempt(), RETRY_MS)
    }
  }
  void attempt()
  return () => {
    isWanted = false
    cancel()
    if (stop !== undefined) end(stop)
    stop = undefined
  }
}

interface Listener {
  listen(channel: string, onMessage: (message: string) => void): Promise<Stop>
}

function listenerOf(subscriber: RedisSubscriber): Listener {
  if (typeof subscriber !== 'object' || subscriber === null || typeof subscriber.subscribe !== 'function') {
    const expected = `a subscriber of the package ioredis or redis, got ${describe(subscriber)}`
    throw optionInvalid('redisInvalidations', expected)
  }
  return isOfIoredis(subscriber) ? ioredisListener(subscriber) : nodeRedisListener(subscriber)
}

function isOfIoredis(subscriber: RedisSubscriber): subscriber is IoredisSubscriber {
  return isIoredis(subscriber)
}

/** Stays subscribed: the subscription is the connection's, and another listener may lean on it. */
function ioredisListener(subscriber: IoredisSubscriber): Listener {
  return {
    async listen(channel, onMessage) {
      const onEvent = (from: string, message: string): void => {
        if (from === channel) onMessage(message)
      }
      const stop: Stop = async () => subscriber.off('message', onEvent)
      // Before the subscription, whose first message may come along with its confirmation.
      subscriber.on('message', onEvent)
      await subscriber.subscribe(channel).catch(async (error) => {
        await stop()
        throw error
      })
      return stop
    },
  }
}

function nodeRedisListener(subscriber: NodeRedisSubscriber): Listener {
  return {
    async listen(channel, onMessage) {
      const listener = (message: unknown): void => onMessage(String(message))
      await subscriber.subscribe(channel, listener)
      return () => subscriber.unsubscribe(channel, listener)
    },
  }
}
