// Resolved from here, each name is that of the packages in this folder.

export { KeyvPostgres } from '@keyv/postgres'
export { default as KeyvRedis } from '@keyv/redis'
export { Keyv } from 'keyv'
