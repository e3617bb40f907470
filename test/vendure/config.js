// The shop: a plain Vendure, with a payment method of its own and a table owner who knows nothing of leadscore.
//   SHOP_VERSION=1, 2, 3   the custom fields that its developer has added by then

'use strict';

const { DefaultLogger, LanguageCode, LogLevel, PaymentMethodHandler } = require('@vendure/core');

const version = Number(process.env.SHOP_VERSION || 1);

// Takes the money at once unless it is declined, and pays it back at once.
const invoice = new PaymentMethodHandler({
    code: 'invoice',
    description: [{ languageCode: LanguageCode.en, value: 'Invoice' }],
    args: {},
    createPayment: (ctx, order, amount, args, metadata) => metadata.declined
        ? { amount, state: 'Declined', errorMessage: 'declined' }
        : { amount, state: 'Settled', transactionId: `invoice ${order.code}` },
    settlePayment: () => ({ success: true }),
    createRefund: () => ({ state: 'Settled', transactionId: 'paid back' }),
});

exports.config = {
    apiOptions: { hostname: '127.0.0.1', port: 0, channelTokenKey: 'channel' },
    authOptions: { tokenMethod: 'bearer', authTokenHeaderKey: 'token', requireVerification: false },
    dbConnectionOptions: {
        type: 'postgres',
        host: process.env.PGHOST,
        port: Number(process.env.PGPORT || 5432),
        database: 'shop',
        username: 'vendure',
        synchronize: false,
        migrations: [`${process.env.SHOP_MIGRATIONS}/*.js`],
    },
    paymentOptions: { paymentMethodHandlers: [invoice] },
    customFields: {
        Customer: version >= 2 ? [{ name: 'newsletter', type: 'boolean', nullable: false, defaultValue: false }] : [],
        OrderLine: version >= 2 ? [{ name: 'wrapping', type: 'string', length: version >= 3 ? 40 : 255 }] : [],
    },
    logger: new DefaultLogger({ level: LogLevel.Warn, timestamp: false }),
};

exports.initialData = {
    defaultLanguage: LanguageCode.en,
    defaultZone: 'Europe',
    countries: [
        { name: 'Germany', code: 'DE', zone: 'Europe' },
        { name: 'United Kingdom', code: 'GB', zone: 'Europe' },
    ],
    taxRates: [
        { name: 'standard', percentage: 19 },
        { name: 'reduced', percentage: 7 },
    ],
    shippingMethods: [{ name: 'parcel', price: 490 }],
    paymentMethods: [{ name: 'invoice', handler: { code: 'invoice', arguments: [] } }],
    collections: [],
};

exports.products = [
    ['lamp', 'home', 4900, 'standard'],
    ['rug', 'home', 12950, 'standard'],
    ['novel', 'books', 1299, 'reduced'],
    ['atlas', 'books', 3990, 'reduced'],
    ['kite', 'toys', 2495, 'standard'],
];
