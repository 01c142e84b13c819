import { optionInvalid, StoreError } from '../../token/index.ts'
import { describe } from '../../util/index.ts'

/** What is needed of a client of the package `ioredis`, of one server or of a cluster. */
export interface IoredisClient {
  call(command: string, ...args: string[]): Promise<unknown>
}

/** What is needed of a client or a pool of the package `redis`. */
export interface NodeRedisClient {
  sendCommand(args: string[]): Promise<unknown>
}

/** What is needed of a client of a cluster, of the package `redis`. */
export interface NodeRedisCluster {
  sendCommand(firstKey: string | undefined, isReadonly: boolean, args: string[]): Promise<unknown>
  nodeClient(node: never): unknown
}

/** What is needed of a client of servers under Sentinel, of the package `redis`. */
export interface NodeRedisSentinel {
  sendCommand(isReadonly: boolean, args: string[]): Promise<unknown>
  getMasterNode(): unknown
}

/** A client that the user has made, has connected, and closes: of the package `ioredis` or of the package `redis`. */
export type RedisClient = IoredisClient | NodeRedisClient | NodeRedisCluster | NodeRedisSentinel

/** Sends one command; `key` is the one that it is about, for a cluster. Replies are texts, numbers or nothing. */
export type SendCommand = (args: readonly [command: string, ...string[]], key?: string) => Promise<unknown>

/**
 * One way to send a command, whichever client it is. What fails is a StoreError that tells the command and the kind of
 * failure alone: the clients' own errors carry the values that were sent.
 *
 * @throws ConfigurationError with code `option_invalid`, when it is no client.
 */
export function commandsOf(client: RedisClient, subject: string): SendCommand {
  const send = senderOf(client, subject)
  return async (args, key) => {
    try {
      return textOf(await send([...args], key))
    } catch (error) {
      throw new StoreError(`redis: expected an answer to ${args[0]}, got ${failureOf(error)}`, {
        code: 'store_unavailable',
      })
    }
  }
}

function senderOf(client: RedisClient, subject: string): (args: string[], key: string | undefined) => Promise<unknown> {
  if (typeof client === 'object' && client !== null) {
    if (isIoredis(client)) {
      return ([command = '', ...rest]) => client.call(command, ...rest)
    }
    if ('sendCommand' in client && typeof client.sendCommand === 'function') {
      if (isCluster(client)) return (args, key) => client.sendCommand(key, false, args)
      if (isSentinel(client)) return (args) => client.sendCommand(false, args)
      return (args) => (client as NodeRedisClient).sendCommand(args)
    }
  }
  const expected = 'a client of the package ioredis or redis'
  throw optionInvalid(subject, `${expected}, got ${describe(client)}`)
}

/** Whether it is of the package `ioredis`: alone among them it has a method for any command by name. */
export function isIoredis<T extends object>(client: T): client is T & IoredisClient {
  return 'call' in client && typeof client.call === 'function'
}

function isCluster(client: object): client is NodeRedisCluster {
  return 'nodeClient' in client && typeof client.nodeClient === 'function'
}

function isSentinel(client: object): client is NodeRedisSentinel {
  return 'getMasterNode' in client && typeof client.getMasterNode === 'function'
}

const decoder = new TextDecoder()

/** A client may have been told to give bytes. */
function textOf(reply: unknown): unknown {
  return reply instanceof Uint8Array ? decoder.decode(reply) : reply
}

/** Whether a command failed with the error that begins with this word. */
export function isFailure(error: unknown, word: string): boolean {
  return error instanceof StoreError && error.message.endsWith(` ${word}`)
}

/** The first word of a reply that is an error (`READONLY`, `OOM`), the code of a broken connection, or a class. */
function failureOf(error: unknown): string {
  if (!(error instanceof Error)) return describe(error)
  const word = /^[A-Z]{2,20}(?= |$)/.exec(error.message)?.[0]
  if (word !== undefined) return word
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
