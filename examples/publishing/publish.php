<?php
// Publishes one message with php-amqplib: persistent, mandatory and confirmed.
require getenv('AUTOLOAD') ?: 'vendor/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

$body = json_encode([
    'event_id' => 'e-1',
    'message_id' => 'php-1', // the same whenever the message is sent again
    'message_from' => 'php',
    'message_type' => 'chat',
    'message_content' => '先取证，再封禁',
], JSON_THROW_ON_ERROR);
$url = parse_url(getenv('RABBITMQ_URL'));
// Without TLS the password would be sent in clear: for amqps:// use AMQPSSLConnection.
if (($url['scheme'] ?? '') !== 'amqp') throw new Exception('RABBITMQ_URL must be an amqp:// URL');
$vhost = rawurldecode(substr($url['path'] ?? '', 1)) ?: '/';
$connection = new AMQPStreamConnection(
    $url['host'], $url['port'] ?? 5672, rawurldecode($url['user']), rawurldecode($url['pass']), $vhost
);
$channel = $connection->channel();
$channel->confirm_select();
$channel->set_nack_handler(function () { throw new Exception('not accepted'); });
// A message that no queue takes is returned, and confirmed all the same.
$channel->set_return_listener(function ($code, $text) { throw new Exception("not accepted: $text"); });
$message = new AMQPMessage($body, ['delivery_mode' => 2, 'content_type' => 'application/json']);
$channel->basic_publish($message, 'deepsoc_notifications_exchange', 'notifications.frontend.e-1.chat', true);
$channel->wait_for_pending_acks_returns(10);
$channel->close();
$connection->close();
