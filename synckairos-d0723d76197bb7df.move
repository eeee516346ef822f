{"move":"d0723d76197bb7df","from":"127.0.0.1:46249","to":"127.0.0.1:34413,127.0.0.1:35509,127.0.0.1:44715"}
{"session":"cca1d652-1e49-4d62-8f11-c73a63f0ece1","step":"planned"}
{"session":"b939e8e2-dfe1-491a-b6cb-42b54e54a5f9","step":"planned"}
